// What both kernels need of XLA: to say which interface they are made for, and to run a loop on its
// threads. The caller always takes part, so that a loop ends even where no other thread is free.

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#define FAST __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))

typedef void Body(const void *job, int64_t share);

typedef struct {
  Body *body;
  const void *job;  // the caller's; not touched once all shares are taken
  int64_t shares;
  atomic_llong next, done;
  atomic_int holders;
} Loop;

static void take_shares(Loop *loop) {
  for (int64_t share; (share = atomic_fetch_add(&loop->next, 1)) < loop->shares;) {
    loop->body(loop->job, share);
    atomic_fetch_add(&loop->done, 1);
  }
}

static void let_go(Loop *loop) {
  if (atomic_fetch_sub(&loop->holders, 1) == 1) free(loop);
}

static void help(void *loop) {
  take_shares(loop);
  let_go(loop);
}

static XLA_FFI_Error *fail(const XLA_FFI_CallFrame *call, XLA_FFI_Error_Code code, const char *why) {
  XLA_FFI_Error_Create_Args args = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, why, code};
  return call->api->XLA_FFI_Error_Create(&args);
}

static bool failed(const XLA_FFI_CallFrame *call, XLA_FFI_Error *error) {
  if (!error) return false;
  XLA_FFI_Error_Destroy_Args args = {XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, NULL, error};
  call->api->XLA_FFI_Error_Destroy(&args);
  return true;
}

// Runs `body` for each share, on this thread and on those of XLA's that are free.
static XLA_FFI_Error *run_shares(const XLA_FFI_CallFrame *call, Body *body, const void *job,
                                 int64_t shares) {
  int64_t threads = 1;
  XLA_FFI_ThreadPool_NumThreads_Args count = {XLA_FFI_ThreadPool_NumThreads_Args_STRUCT_SIZE, NULL,
                                              call->ctx, &threads};
  if (shares > 1 && failed(call, call->api->XLA_FFI_ThreadPool_NumThreads(&count))) threads = 1;
  const int64_t helpers = (threads < shares ? threads : shares) - 1;
  if (helpers < 1) {
    for (int64_t share = 0; share < shares; share++) body(job, share);
    return NULL;
  }
  Loop *loop = malloc(sizeof *loop);
  if (!loop) return fail(call, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "out of memory");
  *loop = (Loop){.body = body, .job = job, .shares = shares};
  atomic_init(&loop->holders, (int)helpers + 1);
  for (int64_t i = 0; i < helpers; i++) {
    XLA_FFI_ThreadPool_Schedule_Args task = {XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE, NULL,
                                             call->ctx, help, loop};
    if (failed(call, call->api->XLA_FFI_ThreadPool_Schedule(&task))) let_go(loop);
  }
  take_shares(loop);
  // The last shares of the others take some microseconds, unless they were put off their core.
  for (int turns = 0; atomic_load(&loop->done) < shares; turns++) {
    if (turns > 2000) sched_yield();
  }
  let_go(loop);
  return NULL;
}

// True where XLA only asks what a kernel was made for, or prepares a call.
static bool answered(XLA_FFI_CallFrame *call) {
  XLA_FFI_Extension_Base *asked = call->extension_start;
  if (asked && asked->type == XLA_FFI_Extension_Metadata) {
    XLA_FFI_Metadata *told = ((XLA_FFI_Metadata_Extension *)asked)->metadata;
    told->api_version.major_version = XLA_FFI_API_MAJOR;
    told->api_version.minor_version = XLA_FFI_API_MINOR;
    told->traits = 0;
    told->state_type_id = (XLA_FFI_TypeId){0};  // none
    return true;
  }
  return call->stage != XLA_FFI_ExecutionStage_EXECUTE;
}

INLINE void *argument(const XLA_FFI_CallFrame *call, int number) {
  return ((XLA_FFI_Buffer *)call->args.args[number])->data;
}

INLINE int64_t size(const XLA_FFI_CallFrame *call, int number, int dimension) {
  return ((XLA_FFI_Buffer *)call->args.args[number])->dims[dimension];
}

INLINE void *result(const XLA_FFI_CallFrame *call, int number) {
  return ((XLA_FFI_Buffer *)call->rets.rets[number])->data;
}
