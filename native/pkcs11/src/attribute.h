// Attributes of an object, and the rules by which C_GetAttributeValue and templates read them.
#pragma once

#include <map>
#include <set>
#include <span>

#include "bytes.h"
#include "cryptoki.h"

namespace tlskeep {

class AttributeSet {
 public:
  void SetBytes(CK_ATTRIBUTE_TYPE type, ByteView value) { values_[type] = ToBytes(value); }
  void SetText(CK_ATTRIBUTE_TYPE type, std::string_view value) { SetBytes(type, AsBytes(value)); }
  void SetBool(CK_ATTRIBUTE_TYPE type, bool value);
  void SetNumber(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  // An attribute that the object has and never shows.
  void SetSensitive(CK_ATTRIBUTE_TYPE type) { sensitive_.insert(type); }

  // Answers a C_GetAttributeValue: every entry of the template is handled, and the CK_RV is that of one
  // that failed (PKCS #11 v2.40 base, C_GetAttributeValue, the five cases).
  CK_RV Fill(std::span<CK_ATTRIBUTE> attributes) const;
  // Whether each attribute of the template has exactly the value given there.
  bool Matches(std::span<const CK_ATTRIBUTE> attributes) const;
  // The bytes of all values, for C_GetObjectSize.
  std::size_t size() const;

 private:
  CK_RV FillOne(CK_ATTRIBUTE& attribute) const;

  std::map<CK_ATTRIBUTE_TYPE, Bytes> values_;
  std::set<CK_ATTRIBUTE_TYPE> sensitive_;
};

}  // namespace tlskeep
