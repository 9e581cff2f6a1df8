// Loads and unloads the built module; makes and removes temporary directories.
#include "loaded_module.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace tlskeep::test {

LoadedModule::LoadedModule(int flags) : handle_(dlopen(TLSKEEP_MODULE, flags)) {
  if (handle_ == nullptr) throw std::runtime_error(dlerror());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle_, "C_GetFunctionList"));
  if (get == nullptr || get(&functions_) != CKR_OK) throw std::runtime_error("no C_GetFunctionList");
}

void* LoadedModule::Symbol(const char* name) const { return dlsym(handle_, name); }

LoadedModule::~LoadedModule() {
  functions_->C_Finalize(nullptr);
  dlclose(handle_);
}

bool ModuleIsMapped() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libtlskeep-pkcs11.so") != line.npos) return true;
  }
  return false;
}

SocketDirectory::SocketDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "tlskeep-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = path;
}

SocketDirectory::~SocketDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tlskeep::test
