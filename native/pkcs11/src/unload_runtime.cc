// Gives back what the statically linked libstdc++ allocates when the module is loaded (its reserve for
// exceptions without memory, 72 KiB) and would leave behind with every dlclose().
namespace __gnu_cxx {
void __freeres();  // libstdc++'s own, for leak checkers
}

namespace {

// The lowest priority that is not the implementation's: runs after the module's other destructors.
[[gnu::destructor(101)]] void FreeRuntime() { __gnu_cxx::__freeres(); }

}  // namespace
