// Fills and matches attribute templates.
#include "attribute.h"

#include <algorithm>
#include <cstring>

namespace tlskeep {

void AttributeSet::SetBool(CK_ATTRIBUTE_TYPE type, bool value) {
  const CK_BBOOL byte = value ? CK_TRUE : CK_FALSE;
  SetBytes(type, {&byte, 1});
}

void AttributeSet::SetNumber(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  SetBytes(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

CK_RV AttributeSet::FillOne(CK_ATTRIBUTE& attribute) const {
  const auto found = values_.find(attribute.type);
  if (found == values_.end()) {
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return sensitive_.contains(attribute.type) ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
  }
  const Bytes& value = found->second;
  if (attribute.pValue == nullptr) {
    attribute.ulValueLen = value.size();
    return CKR_OK;
  }
  if (attribute.ulValueLen < value.size()) {
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_BUFFER_TOO_SMALL;
  }
  attribute.ulValueLen = value.size();
  if (!value.empty()) std::memcpy(attribute.pValue, value.data(), value.size());
  return CKR_OK;
}

CK_RV AttributeSet::Fill(std::span<CK_ATTRIBUTE> attributes) const {
  CK_RV outcome = CKR_OK;
  for (CK_ATTRIBUTE& attribute : attributes) {
    const CK_RV rv = FillOne(attribute);
    if (outcome == CKR_OK) outcome = rv;
  }
  return outcome;
}

bool AttributeSet::Matches(std::span<const CK_ATTRIBUTE> attributes) const {
  return std::all_of(attributes.begin(), attributes.end(), [this](const CK_ATTRIBUTE& attribute) {
    const auto found = values_.find(attribute.type);
    if (found == values_.end() || found->second.size() != attribute.ulValueLen) return false;
    return attribute.ulValueLen == 0 ||
           std::memcmp(found->second.data(), attribute.pValue, attribute.ulValueLen) == 0;
  });
}

std::size_t AttributeSet::size() const {
  std::size_t bytes = 0;
  for (const auto& [type, value] : values_) bytes += value.size();
  return bytes;
}

}  // namespace tlskeep
