// Reads a ring buffer on the event loop and hands its records to JavaScript in batches.
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "fd.h"
#include "poller.h"

namespace podgate {

// A batch is one Buffer: per record a u32 length in the machine's byte order, then that many bytes, without padding.
// One Buffer per batch: a Buffer per record costs more than reading the record.
class EventReader : public Napi::ObjectWrap<EventReader> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit EventReader(const Napi::CallbackInfo& info);
  ~EventReader() override;

 private:
  void Open(Napi::Env env, int map_fd);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  void Ref(const Napi::CallbackInfo& info);
  void Unref(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  void ReadBatch(Napi::Env env);
  void Deliver(Napi::Env env);
  void Report(Napi::Env env, const Napi::Error& error);
  bool IsOpen() const { return poller_ != nullptr; }
  void Release();

  static int OnRecord(void* reader, void* data, size_t size);

  Napi::FunctionReference on_batch_;
  Napi::FunctionReference on_error_;
  std::unique_ptr<Napi::AsyncContext> context_;
  UniqueFd map_;
  struct ring_buffer* ring_ = nullptr;
  Poller* poller_ = nullptr;

  std::vector<uint8_t> batch_;
  size_t batch_limit_ = 0;
  uint32_t batch_records_ = 0;
  bool out_of_memory_ = false;

  uint64_t records_ = 0;
  uint64_t batches_ = 0;
  uint64_t callback_errors_ = 0;
};

}  // namespace podgate
