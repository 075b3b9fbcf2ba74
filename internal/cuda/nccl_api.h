// What senet uses of NCCL 2: an opaque communicator, functions and constants, as nccl.h has them. NCCL is opened at run time, so
// building needs none of its headers. Each enum stands under the name that it has there.
#pragma once
#include <stddef.h>

typedef struct ncclComm* ncclComm_t;
typedef struct {
  char internal[128];
} ncclUniqueId;

// The functions of the library, by the names that follow "nccl"; stream is a cudaStream_t, which is a CUstream.
typedef struct {
  int (*GetVersion)(int* version);  // 22703 for 2.27.3; before 2.9, 2803 for 2.8.3
  const char* (*GetErrorString)(int result);
  const char* (*GetLastError)(ncclComm_t comm);  // NULL before 2.13
  int (*GetUniqueId)(ncclUniqueId* id);
  int (*CommInitRank)(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank);
  int (*CommGetAsyncError)(ncclComm_t comm, int* error);
  int (*CommAbort)(ncclComm_t comm);
  int (*CommDestroy)(ncclComm_t comm);
  int (*AllReduce)(const void* from, void* to, size_t count, int type, int op, ncclComm_t comm, void* stream);
  int (*AllGather)(const void* from, void* to, size_t count, int type, ncclComm_t comm, void* stream);
} nccl_api;

enum {  // ncclResult_t
  ncclSuccess = 0,
  ncclSystemError = 2,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};

enum {  // ncclRedOp_t
  ncclSum = 0,
};

enum {  // ncclDataType_t
  ncclFloat32 = 7,
  ncclBfloat16 = 9,
};
