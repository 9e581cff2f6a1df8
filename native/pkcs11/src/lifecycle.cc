// C_Initialize, C_Finalize, fork and unloading: the life of the one Module.
//
// The globals have constant initializers and no destructors, so that an entry point called late in exit()
// finds them in a state that makes sense.
#include <pthread.h>

#include <mutex>
#include <utility>

#include "error.h"
#include "log.h"
#include "module.h"

namespace tlskeep {
namespace {

struct Lifecycle {
  std::mutex mutex;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  Module* module = nullptr;
  std::size_t users = 0;
  bool finalizing = false;
  bool handlers_registered = false;
  // In a child whose parent had initialized the module: its own C_Initialize is yet to come.
  bool inherited = false;
  // Such a child has called C_Finalize first. What the parent knew is kept for its C_Initialize: a server's
  // worker that is born while the enclave is away must not wait for it with a lock of its consumer's held.
  bool disowned = false;
  bool unloaded = false;
};

constinit Lifecycle life;

void Wait() { pthread_cond_wait(&life.changed, life.mutex.native_handle()); }

void RequireInitialized() {
  if (life.module == nullptr || life.finalizing || life.disowned) {
    throw Pkcs11Error(CKR_CRYPTOKI_NOT_INITIALIZED, "not initialized");
  }
}

void BeforeFork() {
  life.mutex.lock();
  if (life.module != nullptr) life.module->LockForFork();
  LockLogForFork();
}

void AfterForkInParent() {
  UnlockLogAfterFork();
  if (life.module != nullptr) life.module->UnlockInParent();
  life.mutex.unlock();
}

void AfterForkInChild() {
  UnlockLogAfterFork();
  // The threads that were inside are not here, nor is one that was finalizing.
  life.changed = PTHREAD_COND_INITIALIZER;
  life.users = 0;
  life.finalizing = false;
  if (life.module != nullptr) {
    life.module->ResetInChild();
    life.inherited = true;
  }
  life.mutex.unlock();
}

// Runs when the module is unloaded, and at exit().
[[gnu::destructor]] void Unload() {
  // exit() may have been called from a signal handler or beside threads that are still inside: they keep
  // what they have.
  const std::unique_lock lock(life.mutex, std::try_to_lock);
  if (!lock.owns_lock() || life.users > 0 || life.finalizing) return;
  delete life.module;
  life.module = nullptr;
  life.unloaded = true;
  CleanUpLibcrypto();
}

}  // namespace

ModuleUse::ModuleUse() : module_([]() -> Module& {
  const std::lock_guard lock(life.mutex);
  RequireInitialized();
  ++life.users;
  return *life.module;
}()) {}

ModuleUse::~ModuleUse() {
  const std::lock_guard lock(life.mutex);
  if (--life.users == 0 && life.finalizing) pthread_cond_broadcast(&life.changed);
}

void InitializeModule() {
  const std::lock_guard lock(life.mutex);
  while (life.finalizing) Wait();
  if (life.unloaded) throw Pkcs11Error(CKR_GENERAL_ERROR, "the module is being unloaded");
  if (life.module != nullptr) {
    if (!life.inherited) throw Pkcs11Error(CKR_CRYPTOKI_ALREADY_INITIALIZED, "already initialized");
    life.inherited = false;
    if (!std::exchange(life.disowned, false)) life.module->sessions().MarkLoginsInherited();
    return;
  }
  if (!life.handlers_registered) {
    // The C library forgets them when this shared object is unloaded.
    if (pthread_atfork(BeforeFork, AfterForkInParent, AfterForkInChild) != 0) throw std::bad_alloc();
    life.handlers_registered = true;
  }
  life.module = new Module(SettingsFromEnvironment());
  life.inherited = false;
}

void FinalizeModule() {
  const std::lock_guard lock(life.mutex);
  RequireInitialized();
  life.finalizing = true;
  life.module->Cancel();
  while (life.users > 0) Wait();
  if (life.inherited) {
    life.module->Disown();
    life.disowned = true;
  } else {
    delete life.module;
    life.module = nullptr;
    CloseLog();
  }
  life.finalizing = false;
  pthread_cond_broadcast(&life.changed);
}

}  // namespace tlskeep
