#include "mpi.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The handles are passed as intptr_t: on x86-64 a callee that takes a pointer or an int finds it in the same register.
typedef intptr_t handle;

// The handles and constants of a binary interface.
typedef struct {
  handle comm_world, byte, int32, float32, sum, errors_return;
  intptr_t in_place, status_ignore;
} mpi_abi;

struct senet_mpi {
  void* library;
  int unload;  // when MPI has ended
  mpi_abi abi;
  handle sums, messages;  // communicators of all ranks, so that the two kinds of operations cannot meet

  int (*Init_thread)(int*, char***, int, int*);
  int (*Initialized)(int*);
  int (*Finalize)(void);
  int (*Abort)(handle, int);
  int (*Get_library_version)(char*, int*);
  int (*Error_string)(int, char*, int*);
  int (*Comm_set_errhandler)(handle, handle);
  int (*Comm_rank)(handle, int*);
  int (*Comm_size)(handle, int*);
  int (*Comm_dup)(handle, handle*);
  int (*Iallreduce)(const void*, void*, int, handle, handle, handle, handle*);
  int (*Iallgather)(const void*, int, handle, void*, int, handle, handle, handle*);
  int (*Iallgatherv)(const void*, int, handle, void*, const int*, const int*, handle, handle, handle*);
  int (*Test)(handle*, int*, handle);
};

static int fail(senet_mpi_error* e, const char* format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(e->text, sizeof e->text, format, args);
  va_end(args);
  return 1;
}

// check turns the code that an MPI function returned into a message.
static int check(const senet_mpi* m, const char* what, int code, senet_mpi_error* e) {
  if (code == 0) return 0;
  char text[2048] = "";
  int length = 0;
  m->Error_string(code, text, &length);
  return fail(e, "%s: %.900s", what, *text ? text : "unknown error");
}

static int find(senet_mpi* m, void* library, const char* path, senet_mpi_error* e) {
  const struct {
    const char* name;
    void* slot;
  } functions[] = {
      {"MPI_Init_thread", &m->Init_thread},
      {"MPI_Initialized", &m->Initialized},
      {"MPI_Finalize", &m->Finalize},
      {"MPI_Abort", &m->Abort},
      {"MPI_Get_library_version", &m->Get_library_version},
      {"MPI_Error_string", &m->Error_string},
      {"MPI_Comm_set_errhandler", &m->Comm_set_errhandler},
      {"MPI_Comm_rank", &m->Comm_rank},
      {"MPI_Comm_size", &m->Comm_size},
      {"MPI_Comm_dup", &m->Comm_dup},
      {"MPI_Iallreduce", &m->Iallreduce},
      {"MPI_Iallgather", &m->Iallgather},
      {"MPI_Iallgatherv", &m->Iallgatherv},
      {"MPI_Test", &m->Test},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void* f = dlsym(library, functions[i].name);
    if (!f) return fail(e, "%s has no function %s", path, functions[i].name);
    memcpy(functions[i].slot, &f, sizeof f);
  }
  return 0;
}

// Open MPI's predefined handles are the addresses of objects in the library.
static int open_mpi_abi(mpi_abi* abi, void* library, const char* path, senet_mpi_error* e) {
  const struct {
    const char* name;
    handle* slot;
  } objects[] = {
      {"ompi_mpi_comm_world", &abi->comm_world},
      {"ompi_mpi_byte", &abi->byte},
      {"ompi_mpi_int", &abi->int32},
      {"ompi_mpi_float", &abi->float32},
      {"ompi_mpi_op_sum", &abi->sum},
      {"ompi_mpi_errors_return", &abi->errors_return},
  };
  for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
    void* object = dlsym(library, objects[i].name);
    if (!object) return fail(e, "%s has no object %s", path, objects[i].name);
    *objects[i].slot = (intptr_t)object;
  }
  abi->in_place = 1;
  abi->status_ignore = 0;
  return 0;
}

static const mpi_abi mpich_abi = {
    .comm_world = 0x44000000,
    .byte = 0x4c00010d,
    .int32 = 0x4c000405,
    .float32 = 0x4c00040a,
    .sum = 0x58000003,
    .errors_return = 0x54000001,
    .in_place = -1,
    .status_ignore = 1,
};

int senet_mpi_open(const char* path, senet_mpi** out, char* version, size_t capacity, senet_mpi_error* e) {
  // Without it Open MPI and UCX take over SIGSEGV and others, on stacks that Go's handlers cannot use.
  setenv("OMPI_MCA_opal_signal", "", 0);
  setenv("UCX_ERROR_SIGNALS", "", 0);
  // Global: the plug-ins of Open MPI find the library's symbols so.
  void* library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    const char* why = dlerror();
    return fail(e, "%s", why ? why : path);
  }
  senet_mpi* m = calloc(1, sizeof *m);
  if (!m) return fail(e, "no memory");
  m->library = library;
  m->unload = !dlsym(library, "ompi_mpi_comm_world");
  m->abi = mpich_abi;
  if (find(m, library, path, e) || (!m->unload && open_mpi_abi(&m->abi, library, path, e))) {
    free(m);
    return 1;
  }
  char text[8192 + 1] = "";  // MPI_MAX_LIBRARY_VERSION_STRING of MPICH, which is the longer one
  int length = 0;
  m->Get_library_version(text, &length);
  snprintf(version, capacity, "%s", text);
  *out = m;
  return 0;
}

int senet_mpi_init(senet_mpi* m, int* rank, int* size, senet_mpi_error* e) {
  int already = 0, level = 0;
  const int funneled = 1;  // only one thread makes calls
  if (check(m, "MPI_Initialized", m->Initialized(&already), e)) return 1;
  if (already) return fail(e, "MPI was started before in this process, which it can be only once");
  return check(m, "MPI_Init_thread", m->Init_thread(NULL, NULL, funneled, &level), e) ||
         check(m, "MPI_Comm_set_errhandler", m->Comm_set_errhandler(m->abi.comm_world, m->abi.errors_return), e) ||
         check(m, "MPI_Comm_rank", m->Comm_rank(m->abi.comm_world, rank), e) ||
         check(m, "MPI_Comm_size", m->Comm_size(m->abi.comm_world, size), e) ||
         check(m, "MPI_Comm_dup", m->Comm_dup(m->abi.comm_world, &m->sums), e) ||
         check(m, "MPI_Comm_dup", m->Comm_dup(m->abi.comm_world, &m->messages), e);
}

int senet_mpi_finalize(senet_mpi* m, senet_mpi_error* e) {
  if (check(m, "MPI_Finalize", m->Finalize(), e)) return 1;
  // MPICH takes its leave of the launcher in a handler of exit(), which Go does not call. Without it the launcher takes the
  // end of this process for a crash, and kills the other ranks. The handler also runs when the library is unloaded.
  if (m->unload) dlclose(m->library);
  return 0;
}

int senet_mpi_abort(senet_mpi* m, int code, senet_mpi_error* e) {
  return check(m, "MPI_Abort", m->Abort(m->abi.comm_world, code), e);
}

int senet_mpi_sum(senet_mpi* m, float* x, int count, intptr_t* request, senet_mpi_error* e) {
  *request = 0;  // MPICH writes the lower half
  const void* in_place = (const void*)m->abi.in_place;
  int code = m->Iallreduce(in_place, x, count, m->abi.float32, m->abi.sum, m->sums, request);
  return check(m, "MPI_Iallreduce", code, e);
}

int senet_mpi_gather_int(senet_mpi* m, const int32_t* mine, int32_t* all, intptr_t* request, senet_mpi_error* e) {
  *request = 0;
  int code = m->Iallgather(mine, 1, m->abi.int32, all, 1, m->abi.int32, m->messages, request);
  return check(m, "MPI_Iallgather", code, e);
}

int senet_mpi_gather_bytes(senet_mpi* m, const void* mine, int count, void* all, const int32_t* counts,
                           const int32_t* offsets, intptr_t* request, senet_mpi_error* e) {
  *request = 0;
  int code = m->Iallgatherv(mine, count, m->abi.byte, all, counts, offsets, m->abi.byte, m->messages, request);
  return check(m, "MPI_Iallgatherv", code, e);
}

int senet_mpi_test(senet_mpi* m, intptr_t* request, int* done, senet_mpi_error* e) {
  return check(m, "MPI_Test", m->Test(request, done, m->abi.status_ignore), e);
}
