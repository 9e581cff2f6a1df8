// The names of PKCS #11 v2.40 (p11-kit's header), with the C_ functions marked for export.
#pragma once

#pragma GCC visibility push(default)
#include <p11-kit/pkcs11.h>
#pragma GCC visibility pop
