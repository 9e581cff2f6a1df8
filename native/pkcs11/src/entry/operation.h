// The course of every operation, in one place: start, parts, end; who may have which key; output buffers.
#pragma once

#include "entry/boundary.h"
#include "operation/key_operation.h"

namespace tlskeep {

// C_...Init with a key of `key_class`, for `use` (CKF_SIGN, …). A null mechanism ends an active operation.
CK_RV StartKeyOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, CK_MECHANISM_PTR mechanism,
                        CK_OBJECT_HANDLE key);
CK_RV StartDigest(Module& module, CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism);

// C_...Update of an operation that makes no output before its end.
CK_RV UpdateOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, CK_BYTE_PTR part, CK_ULONG size);

// The data of a single-part function.
struct Whole {
  CK_BYTE_PTR data;
  CK_ULONG size;
};

// C_Digest, C_Sign, C_Encrypt and C_Decrypt over `whole`; without it, C_...Final. PKCS #11 v2.40 base §5.2: a
// length query or a short buffer leaves the operation active, anything else ends it.
CK_RV FinishOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, std::optional<Whole> whole,
                      CK_BYTE_PTR output, CK_ULONG_PTR output_size);
// C_Verify over `whole`; without it, C_VerifyFinal. Always ends the operation.
CK_RV FinishVerification(Module& module, CK_SESSION_HANDLE session, std::optional<Whole> whole, CK_BYTE_PTR signature,
                         CK_ULONG signature_size);

}  // namespace tlskeep
