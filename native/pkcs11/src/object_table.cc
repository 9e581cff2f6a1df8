// Numbers objects in the order in which they are first seen.
#include "object_table.h"

namespace tlskeep {

CK_OBJECT_HANDLE ObjectTable::Add(std::shared_ptr<const Object> object) {
  const auto [entry, added] =
      handles_.try_emplace(Identity{object->label, object->object_class, object->identity}, last_ + 1);
  if (added) ++last_;
  objects_[entry->second] = std::move(object);
  return entry->second;
}

std::shared_ptr<const Object> ObjectTable::Find(CK_OBJECT_HANDLE handle) const {
  const auto found = objects_.find(handle);
  return found == objects_.end() ? nullptr : found->second;
}

}  // namespace tlskeep
