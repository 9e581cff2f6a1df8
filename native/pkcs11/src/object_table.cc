// Numbers objects in the order in which they are first seen.
#include "object_table.h"

namespace tlskeep {

CK_OBJECT_HANDLE ObjectTable::Add(std::shared_ptr<const Object> object, CK_SLOT_ID slot) {
  const auto known =
      handles_.try_emplace(Identity{object->label, object->object_class, object->identity}, entries_.size())
          .first;
  // Whatever has a handle has an entry, also if there was no memory for it before.
  if (known->second >= entries_.size()) entries_.resize(known->second + 1);
  entries_[known->second] = {std::move(object), slot};
  return known->second;
}

const ObjectTable::Entry& ObjectTable::Find(CK_OBJECT_HANDLE handle) const {
  return entries_[handle < entries_.size() ? handle : CK_INVALID_HANDLE];
}

}  // namespace tlskeep
