#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include <limits>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "error.h"
#include "pin.h"

namespace podgate {
namespace {

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

// What the kernel copies to and from userspace for one value: of a per-CPU map, one value per possible CPU, each
// rounded up to 8 bytes. A wrong size here would let the kernel write past a buffer.
uint64_t UserValueSize(const struct bpf_map_info& facts, int cpus) {
  if (!IsPerCpu(facts.type)) return facts.value_size;
  return ((static_cast<uint64_t>(facts.value_size) + 7) & ~7ull) * static_cast<uint64_t>(cpus);
}

Napi::PropertyDescriptor Fact(const char* name, Napi::Value value) {
  return Napi::PropertyDescriptor::Value(name, value, napi_enumerable);
}

}  // namespace

Napi::Function BpfMap::Define(Napi::Env env) {
  return DefineClass(env, kName,
                     {StaticMethod<&BpfMap::Open>("open"), InstanceMethod<&BpfMap::Get>("get"),
                      InstanceMethod<&BpfMap::Put>("put"), InstanceMethod<&BpfMap::Delete>("delete"),
                      InstanceMethod<&BpfMap::PutBatch>("putBatch"),
                      InstanceMethod<&BpfMap::DeleteBatch>("deleteBatch"),
                      InstanceMethod<&BpfMap::ReadAll>("entries"), InstanceMethod<&BpfMap::Close>("close")});
}

Napi::Object BpfMap::Make(Napi::Env env, UniqueFd fd) { return ConstructWith(env, &Addon::map, std::move(fd)); }

BpfMap::BpfMap(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  Napi::Env env = info.Env();
  if (!fd_.Valid()) FailType(env, "a BpfMap cannot be constructed: call BpfMap.open or BpfObject.map");
  struct bpf_map_info facts = {};
  uint32_t size = sizeof(facts);
  if (bpf_obj_get_info_by_fd(fd_.Get(), &facts, &size) != 0) Fail(env, "read map", errno);
  int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) Fail(env, "count possible CPUs", -cpus);
  uint64_t value_size = UserValueSize(facts, cpus);
  if (value_size > std::numeric_limits<uint32_t>::max()) Fail(env, "read map", EOVERFLOW);
  name_ = facts.name;
  type_ = facts.type;
  key_size_ = facts.key_size;
  value_size_ = static_cast<uint32_t>(value_size);
  max_entries_ = facts.max_entries;
  Napi::Object self = info.This().As<Napi::Object>();
  // Values, not getters: Node-API checks the receiver of methods, but not of getters.
  self.DefineProperties({Fact("name", Napi::String::New(env, name_)), Fact("type", Napi::Number::New(env, type_)),
                         Fact("keySize", Napi::Number::New(env, key_size_)),
                         Fact("valueSize", Napi::Number::New(env, value_size_)),
                         Fact("maxEntries", Napi::Number::New(env, max_entries_)),
                         Fact("id", Napi::Number::New(env, facts.id))});
  self.TypeTag(&kTag);
}

Napi::Value BpfMap::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  return Make(env, OpenPin(env, "open map " + path, path, "bpf-map"));
}

int BpfMap::Fd(Napi::Env env, const std::string& operation) const {
  if (!fd_.Valid()) FailClosed(env, operation);
  return fd_.Get();
}

Napi::Value BpfMap::Get(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "get from map " + name_;
  int fd = Fd(env, operation);
  const uint8_t* key = ExactBytesArgument(info, 0, "key", key_size_);
  std::vector<uint8_t> value(value_size_);
  if (bpf_map_lookup_elem(fd, key, value.data()) == 0) {
    return Napi::Buffer<uint8_t>::Copy(env, value.data(), value.size());
  }
  if (errno == ENOENT) return env.Undefined();
  Fail(env, operation, errno);
}

void BpfMap::Put(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "put into map " + name_;
  int fd = Fd(env, operation);
  const uint8_t* key = ExactBytesArgument(info, 0, "key", key_size_);
  const uint8_t* value = ExactBytesArgument(info, 1, "value", value_size_);
  if (bpf_map_update_elem(fd, key, value, BPF_ANY) != 0) Fail(env, operation, errno);
}

Napi::Value BpfMap::Delete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "delete from map " + name_;
  int fd = Fd(env, operation);
  const uint8_t* key = ExactBytesArgument(info, 0, "key", key_size_);
  if (bpf_map_delete_elem(fd, key) == 0) return Napi::Boolean::New(env, true);
  if (errno == ENOENT) return Napi::Boolean::New(env, false);
  Fail(env, operation, errno);
}

Napi::Value BpfMap::PutBatch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "put batch into map " + name_;
  MapShape shape = Shape(env, operation);
  Bytes keys = BytesArgument(info, 0, "keys");
  uint32_t count = CountKeys(env, keys.length);
  const uint8_t* values =
      ExactBytesArgument(info, 1, "values", static_cast<size_t>(count) * shape.value_size);
  BatchResult result = PutAll(shape, keys.data, values, count);
  if (result.error != 0) {
    Napi::Error error = MakeError(env, operation, ErrnoName(result.error),
                                  "stopped after " + std::to_string(result.done) + " of " + std::to_string(count));
    error.Set("written", Napi::Number::New(env, result.done));
    throw error;
  }
  return Napi::Number::New(env, result.done);
}

Napi::Value BpfMap::DeleteBatch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "delete batch from map " + name_;
  MapShape shape = Shape(env, operation);
  Bytes keys = BytesArgument(info, 0, "keys");
  BatchResult result = DeleteAll(shape, keys.data, CountKeys(env, keys.length));
  if (result.error != 0) Fail(env, operation, result.error);
  return Napi::Number::New(env, result.done);
}

Napi::Value BpfMap::ReadAll(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string operation = "read entries of map " + name_;
  MapShape shape = Shape(env, operation);
  Entries entries;
  int error = ReadEntries(shape, &entries);
  if (error != 0) Fail(env, operation, error);
  Napi::Object result = Napi::Object::New(env);
  result.Set("keys", Napi::Buffer<uint8_t>::Copy(env, entries.keys.data(), entries.keys.size()));
  result.Set("values", Napi::Buffer<uint8_t>::Copy(env, entries.values.data(), entries.values.size()));
  result.Set("count", entries.count);
  return result;
}

void BpfMap::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

MapShape BpfMap::Shape(Napi::Env env, const std::string& operation) const {
  int fd = Fd(env, operation);
  if (key_size_ == 0) Fail(env, operation, EOPNOTSUPP, "the map has no keys");
  return {fd, key_size_, value_size_, max_entries_};
}

uint32_t BpfMap::CountKeys(Napi::Env env, size_t length) const {
  if (length % key_size_ != 0) {
    FailRange(env, "keys must be a multiple of " + std::to_string(key_size_) + " bytes, not " +
                       std::to_string(length));
  }
  size_t count = length / key_size_;
  if (count > std::numeric_limits<uint32_t>::max()) FailRange(env, "keys must be at most 4294967295");
  return static_cast<uint32_t>(count);
}

}  // namespace podgate
