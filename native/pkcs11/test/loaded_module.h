// The module as a consumer loads it, and a directory for what a test makes.
#pragma once

#include <dlfcn.h>

#include <string>

#include "cryptoki.h"

namespace tlskeep::test {

// The module, loaded by dlopen, finalized and unloaded in the end.
class LoadedModule {
 public:
  // @throws std::runtime_error if it does not load.
  explicit LoadedModule(int flags = RTLD_NOW | RTLD_LOCAL);
  ~LoadedModule();
  LoadedModule(const LoadedModule&) = delete;
  LoadedModule& operator=(const LoadedModule&) = delete;

  CK_FUNCTION_LIST* operator->() const { return functions_; }
  void* Symbol(const char* name) const;  // null if it is not exported

 private:
  void* handle_;
  CK_FUNCTION_LIST* functions_ = nullptr;
};

// Whether the module is mapped into this process.
bool ModuleIsMapped();

// A temporary directory with a socket path in it, removed in the end.
class SocketDirectory {
 public:
  SocketDirectory();
  ~SocketDirectory();
  SocketDirectory(const SocketDirectory&) = delete;
  SocketDirectory& operator=(const SocketDirectory&) = delete;

  std::string socket() const { return path_ + "/enclave.sock"; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace tlskeep::test
