// Fills and matches attribute templates.
#include "attribute.h"

#include <algorithm>
#include <cstring>

namespace tlskeep {

void AttributeSet::SetBytes(CK_ATTRIBUTE_TYPE type, ByteView value) {
  const auto at = std::lower_bound(values_.begin(), values_.end(), type,
                                   [](const Value& known, CK_ATTRIBUTE_TYPE wanted) { return known.type < wanted; });
  const Value set{type, static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(value.size())};
  // What a value that is set again took before stays unused: a label or a date.
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  if (at != values_.end() && at->type == type) {
    *at = set;
  } else {
    values_.insert(at, set);
  }
}

void AttributeSet::ShrinkToFit() {
  values_.shrink_to_fit();
  bytes_.shrink_to_fit();
  sensitive_.shrink_to_fit();
}

const AttributeSet::Value* AttributeSet::Find(CK_ATTRIBUTE_TYPE type) const {
  const auto at = std::lower_bound(values_.begin(), values_.end(), type,
                                   [](const Value& known, CK_ATTRIBUTE_TYPE wanted) { return known.type < wanted; });
  return at != values_.end() && at->type == type ? &*at : nullptr;
}

void AttributeSet::SetBool(CK_ATTRIBUTE_TYPE type, bool value) {
  const CK_BBOOL byte = value ? CK_TRUE : CK_FALSE;
  SetBytes(type, {&byte, 1});
}

void AttributeSet::SetNumber(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  SetBytes(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

CK_RV AttributeSet::FillOne(CK_ATTRIBUTE& attribute) const {
  const Value* found = Find(attribute.type);
  if (found == nullptr) {
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    const bool sensitive = std::find(sensitive_.begin(), sensitive_.end(), attribute.type) != sensitive_.end();
    return sensitive ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
  }
  const ByteView value = BytesOf(*found);
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
    const Value* found = Find(attribute.type);
    if (found == nullptr || found->size != attribute.ulValueLen) return false;
    return found->size == 0 || std::memcmp(BytesOf(*found).data(), attribute.pValue, found->size) == 0;
  });
}

std::size_t AttributeSet::size() const {
  std::size_t bytes = 0;
  for (const Value& value : values_) bytes += value.size;
  return bytes;
}

}  // namespace tlskeep
