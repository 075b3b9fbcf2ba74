// Sums over GPUs by NCCL 2, opened at run time: what nccl.go sees of it. Functions return 0, or else put a message into *e.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct senet_nccl senet_nccl;  // the library with a rank's communicator

typedef struct {
  int lost;  // 1: the others cannot be reached any more
  char text[1024];
} senet_nccl_error;

enum { SENET_NCCL_ID = 128 };                // bytes
enum { SENET_NCCL_F32, SENET_NCCL_BF16 };    // types of elements
enum { SENET_NCCL_SUM, SENET_NCCL_GATHER };  // of what all ranks have; one rank's behind the other

// Opens the library at path and tells its version as major*10000 + minor*100 + patch.
int senet_nccl_version(const char* path, int* version, senet_nccl_error* e);
// Makes the id of a new job, which one rank gives to all others. It is reached over the network there.
int senet_nccl_unique_id(const char* path, char id[SENET_NCCL_ID], senet_nccl_error* e);
// Joins the job as rank of so many ranks, with the device whose context is current. Waits for all of them.
int senet_nccl_join(const char* path, const char id[SENET_NCCL_ID], int ranks, int rank, senet_nccl** out,
                    senet_nccl_error* e);
// Issues to stream what all ranks do with count elements of each rank.
int senet_nccl_issue(senet_nccl* c, int kind, uint64_t from, uint64_t to, size_t count, int type, uint64_t stream,
                     senet_nccl_error* e);
// Returns 1 once something failed meanwhile. Any thread may ask.
int senet_nccl_failed(senet_nccl* c, senet_nccl_error* e);
// Leaves the job when all that was issued is done. The handle must not be used afterwards, nor after the next; its few bytes stay.
int senet_nccl_leave(senet_nccl* c, senet_nccl_error* e);
// Ends what runs on the device at once, and the communicator when all graphs that captured its work are gone: it returns only
// then. Any thread may call it, also while another one is in a call.
int senet_nccl_abort(senet_nccl* c, senet_nccl_error* e);
