// A map. Owns a descriptor; keys and values are bytes of exactly the map's sizes.
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"
#include "map_batch.h"

namespace podgate {

class BpfMap : public Napi::ObjectWrap<BpfMap> {
 public:
  static constexpr napi_type_tag kTag = {0x9b8a1f6e5f2c4d03, 0xb0d6a3c1e7f24a13};
  static constexpr const char* kName = "BpfMap";

  static Napi::Function Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, UniqueFd fd);
  explicit BpfMap(const Napi::CallbackInfo& info);

  // Throws ERR_CLOSED when closed.
  int Fd(Napi::Env env, const std::string& operation) const;
  uint32_t Type() const { return type_; }
  const std::string& Name() const { return name_; }

 private:
  static Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value Get(const Napi::CallbackInfo& info);
  void Put(const Napi::CallbackInfo& info);
  Napi::Value Delete(const Napi::CallbackInfo& info);
  Napi::Value PutBatch(const Napi::CallbackInfo& info);
  Napi::Value DeleteBatch(const Napi::CallbackInfo& info);
  Napi::Value ReadAll(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  MapShape Shape(Napi::Env env, const std::string& operation) const;
  // How many keys `length` bytes hold; throws RangeError unless it is a whole number of them.
  uint32_t CountKeys(Napi::Env env, size_t length) const;

  UniqueFd fd_;
  std::string name_;
  uint32_t type_ = 0;
  uint32_t key_size_ = 0;
  uint32_t value_size_ = 0;
  uint32_t max_entries_ = 0;
};

}  // namespace podgate
