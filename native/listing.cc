#include "listing.h"

#include <errno.h>

#include "addon.h"
#include "arguments.h"
#include "error.h"
#include "netns_connection.h"
#include "netns_thread.h"

namespace podgate {
namespace {

constexpr const char* kOperation = "list connections";
constexpr const char* kNoDiag = "this kernel cannot list connections: it needs CONFIG_INET_DIAG (module tcp_diag)";
// As many as one message to the agent takes.
constexpr size_t kMostAtOnce = 256;

}  // namespace

// The thread's while one works on it, else the loop's. Outlives a Listing that is closed meanwhile.
struct Listing::Reading {
  Listing* owner = nullptr;
  UniqueFd netns;  // until it has been entered
  ConnectionReader reader;
  std::vector<TcpConnection> piece;
  bool more = true;
  int error = 0;

  void Read() {
    piece.clear();
    if (netns.Valid()) {
      error = RunInNetns(netns.Get(), [this] { return reader.Begin(); });
      netns.Reset();
    }
    if (error == 0) error = reader.Read(kMostAtOnce, &piece, &more);
  }
};

// Only entering the namespace takes a thread of its own: what is read from then on is that namespace's wherever it is read.
class Listing::Worker : public Napi::AsyncWorker {
 public:
  Worker(Napi::Env env, std::shared_ptr<Reading> reading)
      : AsyncWorker(env, "podgate.Listing"), reading_(std::move(reading)) {}

 protected:
  void Execute() override { reading_->Read(); }
  void OnOK() override {
    if (reading_->owner != nullptr) reading_->owner->Finish();
  }
  // An exception: there is no other than std::bad_alloc.
  void OnError(const Napi::Error&) override {
    reading_->error = ENOMEM;
    OnOK();
  }

 private:
  std::shared_ptr<Reading> reading_;
};

Napi::Function Listing::Define(Napi::Env env) {
  return DefineClass(env, "Listing",
                     {InstanceMethod<&Listing::Next>("next"), InstanceMethod<&Listing::Close>("close")});
}

Napi::Object Listing::Make(Napi::Env env, int netns, ConnectionFilter filter) {
  UniqueFd own = UniqueFd::Duplicate(netns);
  if (!own.Valid()) Fail(env, kOperation, errno);
  Napi::Object object = ConstructWith(env, &Addon::listing, std::move(own));
  Unwrap(object)->reading_->reader = ConnectionReader(std::move(filter));
  return object;
}

Listing::Listing(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  UniqueFd netns = TakeHandover(info.Env());
  if (!netns.Valid()) FailType(info.Env(), "a Listing cannot be constructed: call Netns.list");
  reading_ = std::make_shared<Reading>();
  reading_->owner = this;
  reading_->netns = std::move(netns);
}

Listing::~Listing() { Release(); }

void Listing::Next(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Function done = FunctionArgument(info, 0, "done");
  if (reading_ == nullptr) FailClosed(env, kOperation);
  if (done_ != nullptr) Fail(env, kOperation, EALREADY);
  auto worker = std::make_unique<Worker>(env, reading_);
  auto callback = std::make_unique<Callback>(env, "podgate.Listing", done);
  worker->Queue();
  worker.release();  // deletes itself
  done_ = std::move(callback);
  // A listing that reads is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

void Listing::Finish() {
  std::shared_ptr<Reading> read = reading_;
  std::unique_ptr<Callback> done = std::move(done_);
  if (!read->more || read->error != 0) Release();
  ObjectWrap::Unref();
  done->Call([&](Napi::Env env) -> std::vector<napi_value> {
    if (int error = read->error) {
      return {MakeError(env, kOperation, ErrnoName(error), error == ENOENT ? kNoDiag : "").Value()};
    }
    Napi::Array piece = Napi::Array::New(env, read->piece.size());
    for (uint32_t at = 0; at < read->piece.size(); at++) {
      Napi::HandleScope scope(env);
      piece.Set(at, ConnectionToObject(env, read->piece[at]));
    }
    return {env.Undefined(), piece, Napi::Boolean::New(env, read->more)};
  });
}

void Listing::Close(const Napi::CallbackInfo&) {
  bool was_reading = done_ != nullptr;
  Release();
  done_ = nullptr;
  if (was_reading) ObjectWrap::Unref();
}

// Also runs while the environment ends, so it must not touch JavaScript.
void Listing::Release() {
  if (reading_ != nullptr) reading_->owner = nullptr;
  reading_ = nullptr;
}

}  // namespace podgate
