# `tlskeep_native_flags`: the warnings and the hardening that all of our native code is built with, the sanitizers
# where they are asked for, and where wire/ is included from.
set(TLSKEEP_SANITIZE "" CACHE STRING "Sanitizers to build with: \"address,undefined\" or \"thread\"")

add_library(tlskeep_native_flags INTERFACE)
target_include_directories(tlskeep_native_flags INTERFACE ${CMAKE_CURRENT_LIST_DIR})
target_compile_options(tlskeep_native_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Wcast-qual -Wformat=2 -Werror
  -fstack-protector-strong -ffunction-sections -fdata-sections)
target_link_options(tlskeep_native_flags INTERFACE
  LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack LINKER:--as-needed)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(tlskeep_native_flags INTERFACE -fcf-protection=full -fstack-clash-protection)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_compile_options(tlskeep_native_flags INTERFACE -mbranch-protection=standard -fstack-clash-protection)
endif()
if(TLSKEEP_SANITIZE)
  target_compile_options(tlskeep_native_flags INTERFACE
    -fsanitize=${TLSKEEP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tlskeep_native_flags INTERFACE -fsanitize=${TLSKEEP_SANITIZE})
else()
  target_compile_options(tlskeep_native_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
