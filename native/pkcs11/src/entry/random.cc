// Random number functions (PKCS #11 v2.40 base §5.15): the enclave's generator.
#include "entry/boundary.h"

using namespace tlskeep;

extern "C" CK_RV C_SeedRandom(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSeed, CK_ULONG ulSeedLen) {
  return WithModule("C_SeedRandom", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    Input(pSeed, ulSeedLen);
    return CKR_RANDOM_SEED_NOT_SUPPORTED;
  });
}

extern "C" CK_RV C_GenerateRandom(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pRandomData, CK_ULONG ulRandomLen) {
  return WithModule("C_GenerateRandom", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    module.Random(Input(pRandomData, ulRandomLen));
    return CKR_OK;
  });
}
