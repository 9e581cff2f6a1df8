// Finds mechanisms, and what may be done with them.
#include "mechanism/mechanism.h"

#include <algorithm>

#include "error.h"

namespace tlskeep {
namespace {

using FamilyGetter = const Family& (*)();
constexpr FamilyGetter kFamilies[] = {RsaPkcsFamily, RsaPssFamily, RsaOaepFamily, RsaX509Family,
                                      EcdsaFamily,   EddsaFamily,  DigestFamily};

struct HashEntry {
  HashAlgorithm algorithm;
  CK_MECHANISM_TYPE mechanism;
  CK_RSA_PKCS_MGF_TYPE mgf;
};
constexpr HashEntry kHashEntries[] = {
    {HashAlgorithm::kSha1, CKM_SHA_1, CKG_MGF1_SHA1},       {HashAlgorithm::kSha224, CKM_SHA224, CKG_MGF1_SHA224},
    {HashAlgorithm::kSha256, CKM_SHA256, CKG_MGF1_SHA256}, {HashAlgorithm::kSha384, CKM_SHA384, CKG_MGF1_SHA384},
    {HashAlgorithm::kSha512, CKM_SHA512, CKG_MGF1_SHA512},
};

template <typename Range, typename Value>
bool Contains(const Range& range, const Value& value) {
  return std::find(std::begin(range), std::end(range), value) != std::end(range);
}

CK_FLAGS AdmittedUses(const Mechanism& mechanism, const KeyPolicy& policy) {
  CK_FLAGS uses = mechanism.uses;
  if (mechanism.wire_name == nullptr) return uses;
  const bool hash_admitted = !mechanism.hash || Contains(policy.hashes, *mechanism.hash);
  if (!Contains(policy.sign, mechanism.wire_name) || !hash_admitted) uses &= ~CKF_SIGN;
  if (!Contains(policy.decrypt, mechanism.wire_name)) uses &= ~CKF_DECRYPT;
  return uses;
}

}  // namespace

Bytes Family::SignData(const Plan&, const PublicKey&, ByteView) const {
  throw Pkcs11Error(CKR_MECHANISM_INVALID, "not a mechanism to sign with");
}

bool Family::Verify(Libcrypto&, const Plan&, const PublicKey&, ByteView, ByteView) const {
  throw Pkcs11Error(CKR_MECHANISM_INVALID, "not a mechanism to verify with");
}

Bytes Family::Encrypt(Libcrypto&, const Plan&, const PublicKey&, ByteView) const {
  throw Pkcs11Error(CKR_MECHANISM_INVALID, "not a mechanism to encrypt with");
}

const Mechanism* FindMechanism(CK_MECHANISM_TYPE type) {
  for (const FamilyGetter family : kFamilies) {
    for (const Mechanism& mechanism : family().mechanisms()) {
      if (mechanism.type == type) return &mechanism;
    }
  }
  return nullptr;
}

const Family& FamilyOf(const Mechanism& mechanism) {
  for (const FamilyGetter family : kFamilies) {
    const std::span<const Mechanism> members = family().mechanisms();
    if (&mechanism >= members.data() && &mechanism < members.data() + members.size()) return family();
  }
  throw std::logic_error("a mechanism without a family");
}

std::vector<Offer> OffersFor(CK_KEY_TYPE key_type, const KeyPolicy& policy) {
  std::vector<Offer> offers;
  for (const FamilyGetter family : kFamilies) {
    for (const Mechanism& mechanism : family().mechanisms()) {
      if (mechanism.key_type != key_type) continue;
      if (const CK_FLAGS uses = AdmittedUses(mechanism, policy); uses != 0) offers.push_back({&mechanism, uses});
    }
  }
  return offers;
}

std::vector<Offer> OffersWith(std::span<const Offer> offers, CK_FLAGS uses) {
  std::vector<Offer> found;
  for (const Offer& offer : offers) {
    if ((offer.uses & uses) != 0) found.push_back({offer.mechanism, offer.uses & uses});
  }
  return found;
}

Plan MakePlan(const CK_MECHANISM& requested, const PublicKey& key, std::span<const Offer> offers, CK_FLAGS use,
              std::span<const HashAlgorithm> hashes) {
  const Mechanism* mechanism = FindMechanism(requested.mechanism);
  if (mechanism == nullptr || (mechanism->uses & use) == 0) {
    throw Pkcs11Error(CKR_MECHANISM_INVALID, "not a mechanism for this");
  }
  if (mechanism->key_type != key.type) {
    throw Pkcs11Error(CKR_KEY_TYPE_INCONSISTENT, "mechanism for another kind of key");
  }
  const bool offered = std::any_of(offers.begin(), offers.end(), [&](const Offer& offer) {
    return offer.mechanism == mechanism && (offer.uses & use) != 0;
  });
  if (!offered) throw Pkcs11Error(CKR_MECHANISM_INVALID, "mechanism that the enclave does not accept");
  return FamilyOf(*mechanism).MakePlan({*mechanism, requested, key, hashes});
}

void RequireNoParameter(const CK_MECHANISM& requested) {
  if (requested.pParameter != nullptr || requested.ulParameterLen != 0) {
    throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, "mechanism without a parameter");
  }
}

HashAlgorithm HashOfMechanism(CK_MECHANISM_TYPE type) {
  for (const HashEntry& entry : kHashEntries) {
    if (entry.mechanism == type) return entry.algorithm;
  }
  throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, "a parameter with an unknown hash");
}

HashAlgorithm HashOfMgf(CK_RSA_PKCS_MGF_TYPE mgf) {
  for (const HashEntry& entry : kHashEntries) {
    if (entry.mgf == mgf) return entry.algorithm;
  }
  throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, "a parameter with an unknown mask generation function");
}

}  // namespace tlskeep
