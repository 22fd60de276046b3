#include "events.h"

#include <errno.h>
#include <string.h>

#include "arguments.h"
#include "callback.h"
#include "error.h"
#include "map.h"

namespace podgate {
namespace {

constexpr uint32_t kLeastBatch = 1;
constexpr uint32_t kMostBatch = 64u << 20;
constexpr int kBatchIsFull = -ECANCELED;  // only has to be negative: ends ring_buffer__consume after a record

}  // namespace

Napi::Function EventReader::Define(Napi::Env env) {
  return DefineClass(env, "EventReader",
                     {InstanceMethod<&EventReader::Stats>("stats"), InstanceMethod<&EventReader::Ref>("ref"),
                      InstanceMethod<&EventReader::Unref>("unref"), InstanceMethod<&EventReader::Close>("close")});
}

EventReader::EventReader(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  BpfMap* map = InstanceArgument<BpfMap>(info, 0, "ringbuf");
  if (!info[1].IsObject()) FailType(env, "options must be an object");
  // A getter may run JavaScript here, so the map's descriptor is asked for only afterwards.
  Napi::Value limit = info[1].As<Napi::Object>().Get("maxBatchBytes");
  batch_limit_ = IntegerOf(limit, "maxBatchBytes", kLeastBatch, kMostBatch);
  on_batch_ = Napi::Persistent(FunctionArgument(info, 2, "onBatch"));
  on_error_ = Napi::Persistent(FunctionArgument(info, 3, "onError"));
  if (map->Type() != BPF_MAP_TYPE_RINGBUF) FailType(env, "ringbuf must be a map of type ring buffer");
  Open(env, map->Fd(env, "read events of map " + map->Name()));
}

EventReader::~EventReader() { Release(); }

void EventReader::Open(Napi::Env env, int map_fd) {
  const char* operation = "open ring buffer";
  map_ = UniqueFd::Duplicate(map_fd);
  if (!map_.Valid()) Fail(env, operation, errno);
  LibbpfLog log;
  ring_ = ring_buffer__new(map_.Get(), OnRecord, this, nullptr);
  if (ring_ == nullptr) Fail(env, operation, errno, log.Text());
  context_ = std::make_unique<Napi::AsyncContext>(env, "podgate.EventReader");
  PollerEvents events;
  events.ready = [this] { FromLoop(Env(), [this](Napi::Env env) { ReadBatch(env); }); };
  events.failed = [this](int error) {
    FromLoop(Env(), [=](Napi::Env env) { Report(env, MakeError(env, "poll ring buffer", ErrnoName(error))); });
  };
  events.teardown = [this] { Release(); };
  int error = 0;
  poller_ = Poller::Start(env, ring_buffer__epoll_fd(ring_), Poller::Wait::kReadable, std::move(events), &error);
  if (poller_ == nullptr) Fail(env, operation, error);
  // An open reader is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

// One batch per wake-up: what is left keeps the descriptor readable, and other work gets its turn first.
void EventReader::ReadBatch(Napi::Env env) {
  batch_.clear();
  batch_records_ = 0;
  out_of_memory_ = false;
  int result = ring_buffer__consume(ring_);
  if (result < 0 && result != kBatchIsFull) {
    callback_errors_++;
    Report(env, MakeError(env, "read ring buffer", ErrnoName(-result)));
  }
  if (batch_records_ > 0) Deliver(env);
  if (out_of_memory_) Report(env, MakeError(env, "read ring buffer", "ENOMEM", "a record was lost"));
}

int EventReader::OnRecord(void* context, void* data, size_t size) {
  EventReader* reader = static_cast<EventReader*>(context);
  uint32_t length = static_cast<uint32_t>(size);
  std::vector<uint8_t>& batch = reader->batch_;
  try {
    size_t start = batch.size();
    batch.resize(start + sizeof(length) + size);
    memcpy(batch.data() + start, &length, sizeof(length));
    memcpy(batch.data() + start + sizeof(length), data, size);
  } catch (const std::bad_alloc&) {
    reader->out_of_memory_ = true;  // an exception must not unwind through libbpf's C frames
    return kBatchIsFull;
  }
  reader->batch_records_++;
  return batch.size() >= reader->batch_limit_ ? kBatchIsFull : 0;
}

void EventReader::Deliver(Napi::Env env) {
  batches_++;
  records_ += batch_records_;
  try {
    Napi::Value buffer = Napi::Buffer<uint8_t>::Copy(env, batch_.data(), batch_.size());
    // MakeCallback, not Call: it runs promises and process.nextTick afterwards, and the exception is caught here.
    // Left pending, it would make every later call fail.
    on_batch_.MakeCallback(env.Global(), {buffer}, *context_);
  } catch (const Napi::Error& error) {
    callback_errors_++;
    Report(env, error);
  }
}

// What onError throws becomes an uncaughtException: nobody else is left to take it.
void EventReader::Report(Napi::Env env, const Napi::Error& error) {
  try {
    on_error_.MakeCallback(env.Global(), {error.Value()}, *context_);
  } catch (const Napi::Error& worse) {
    napi_fatal_exception(env, worse.Value());
  }
}

Napi::Value EventReader::Stats(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("records", Napi::Number::New(env, static_cast<double>(records_)));
  stats.Set("batches", Napi::Number::New(env, static_cast<double>(batches_)));
  stats.Set("callbackErrors", Napi::Number::New(env, static_cast<double>(callback_errors_)));
  return stats;
}

void EventReader::Ref(const Napi::CallbackInfo& info) {
  if (!IsOpen()) FailClosed(info.Env(), "ref event reader");
  poller_->Ref();
}

void EventReader::Unref(const Napi::CallbackInfo& info) {
  if (!IsOpen()) FailClosed(info.Env(), "unref event reader");
  poller_->Unref();
}

void EventReader::Close(const Napi::CallbackInfo&) {
  if (!IsOpen()) return;
  Release();
  ObjectWrap::Unref();
}

// Also runs while the environment ends, so it must not touch JavaScript.
void EventReader::Release() {
  if (poller_ != nullptr) poller_->Stop();
  poller_ = nullptr;
  ring_buffer__free(ring_);
  ring_ = nullptr;
  map_.Reset();
}

}  // namespace podgate
