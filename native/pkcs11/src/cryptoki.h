// The names of PKCS #11: v2.40 from p11-kit's header, v3.0 added here where that header is older; the C_
// functions are marked for export.
#pragma once

#pragma GCC visibility push(default)
#include <p11-kit/pkcs11.h>
#pragma GCC visibility pop

#include "cryptoki3.h"
