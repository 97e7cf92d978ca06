// What the bindings of libtorch lack: a module from memory without copies of it on the way, a frozen copy of a module, whose linear layers have their weights in the order in which oneDNN
// multiplies by them, and a module whose numbers have fewer digits. Called by module.rs and by nobody else. Throws nothing: an exception would
// have to pass through Rust.

#include <ATen/core/dispatch/Dispatcher.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/script.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

// Below this a product is too small for the order of its weights to matter.
constexpr int64_t kSmallest = 16;

// Rows of the product for which weights are put in order; oneDNN takes them for other numbers of rows as well.
constexpr int64_t kRows = 512;

const auto kLinear = c10::Symbol::fromQualString("mkldnn::_linear_pointwise");
const auto kReorder = c10::Symbol::fromQualString("mkldnn::_reorder_linear_weight");

// This build of libtorch may be one without oneDNN.
bool can_pack() {
  return !torch::jit::getAllOperatorsFor(kLinear).empty() && !torch::jit::getAllOperatorsFor(kReorder).empty() &&
      !torch::jit::getAllOperatorsFor(c10::prim::ConstantMKLDNNTensor).empty();
}

std::optional<at::Tensor> weight_of(const Node* linear) {
  const auto value = torch::jit::toIValue(linear->input(1));
  if (!value || !value->isTensor()) {
    return std::nullopt;
  }
  const at::Tensor weight = value->toTensor();
  const bool fits = weight.defined() && weight.dim() == 2 && weight.scalar_type() == at::kFloat && weight.device().is_cpu() &&
      weight.size(0) >= kSmallest && weight.size(1) >= kSmallest;
  return fits ? std::optional(weight) : std::nullopt;
}

at::Tensor packed(const at::Tensor& weight) {
  static const auto reorder = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "");
  torch::jit::Stack stack{weight.detach().contiguous(), kRows};
  reorder.callBoxed(stack);
  return stack.front().toTensor();
}

// What is computed of each result of a layer by the operator after it, and can be computed with the layer.
struct Activation {
  Node* node;
  std::string name;
  std::string algorithm;
};

std::optional<Activation> activation_after(const Node* linear) {
  const auto& uses = linear->output()->uses();
  if (uses.size() != 1) {
    return std::nullopt;
  }
  Node* user = uses.front().user;
  if (user->owningBlock() != linear->owningBlock()) {
    return std::nullopt;
  }
  if (user->kind() == c10::aten::relu || user->kind() == c10::aten::relu_) {
    return Activation{user, "relu", "none"};
  }
  if (user->kind() == c10::aten::gelu) {
    const auto approximate = torch::jit::toIValue(user->input(1));
    if (approximate && approximate->isString()) {
      return Activation{user, "gelu", approximate->toStringRef()};
    }
  }
  return std::nullopt;
}

void find(Block* block, std::vector<Node*>& linear) {
  for (Node* node : block->nodes()) {
    if (node->kind() == c10::aten::linear && weight_of(node)) {
      linear.push_back(node);
    }
    for (Block* inner : node->blocks()) {
      find(inner, linear);
    }
  }
}

void replace(Graph& graph, Node* linear) {
  torch::jit::WithInsertPoint here(linear);
  Node* weight = graph.insertNode(graph.create(c10::prim::ConstantMKLDNNTensor));
  weight->t_(c10::attr::value, packed(*weight_of(linear)));
  const auto activation = activation_after(linear);
  Value* name = graph.insertConstant(activation ? activation->name : std::string("none"));
  Value* algorithm = graph.insertConstant(activation ? activation->algorithm : std::string("none"));
  Node* scalars = graph.insertNode(graph.createList(c10::OptionalType::create(c10::NumberType::get()), {}));
  Node* layer = graph.create(kLinear, {linear->input(0), weight->output(), linear->input(2), name, scalars->output(), algorithm});
  graph.insertNode(layer);
  Node* last = activation ? activation->node : linear;
  last->output()->replaceAllUsesWith(layer->output());
  if (activation) {
    activation->node->destroy();
  }
  linear->destroy();
}

// An archive in memory. What it says of itself may point beyond its end: there is nothing to be read there.
class Archive final : public caffe2::serialize::ReadAdapterInterface {
 public:
  Archive(const void* bytes, size_t size) : bytes_(static_cast<const char*>(bytes)), size_(size) {}

  size_t size() const override {
    return size_;
  }

  size_t read(uint64_t position, void* buffer, size_t wanted, const char*) const override {
    if (position >= size_) {
      return 0;
    }
    const size_t there = std::min(wanted, size_ - static_cast<size_t>(position));
    std::memcpy(buffer, bytes_ + position, there);
    return there;
  }

 private:
  const char* bytes_;
  size_t size_;
};

void say(const std::string& text, char* message, size_t capacity) {
  const size_t length = std::min(text.size(), capacity - 1);
  std::memcpy(message, text.data(), length);
  message[length] = '\0';
}

} // namespace

// The module of an archive that lies in memory, to be deleted by the bindings: on the CPU where `device` is below 0, else on the CUDA device of
// that number. Null where there is none; `message` says why. The bindings copy the archive three times.
extern "C" void* batch_infer_load(const void* archive, size_t size, int device, char* message, size_t capacity) {
  try {
    const auto on = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
    auto reader = std::make_shared<Archive>(archive, size);
    return new torch::jit::Module(torch::jit::load(std::move(reader), on));
  } catch (const std::exception& error) {
    say(error.what(), message, capacity);
  } catch (...) {
    say("an exception without a message", message, capacity);
  }
  return nullptr;
}

// A frozen copy of a module on the CPU, to be deleted by the bindings, the number of layers that were packed, and the most numbers of a row that one of
// them takes or gives. Null where the module cannot be frozen; `message` says why.
extern "C" void* batch_infer_freeze(const void* module, int64_t* layers, int64_t* widest, char* message, size_t capacity) {
  try {
    c10::InferenceMode guard(false);
    const auto& given = *static_cast<const torch::jit::Module*>(module);
    auto frozen = torch::jit::freeze(given);
    auto graph = frozen.get_method("forward").graph();
    std::vector<Node*> linear;
    if (can_pack()) {
      find(graph->block(), linear);
    }
    *widest = 0;
    for (Node* node : linear) {
      const auto weight = weight_of(node);
      *widest = std::max({*widest, weight->size(0), weight->size(1)});
      replace(*graph, node);
    }
    torch::jit::EliminateDeadCode(graph);
    graph->lint();
    *layers = static_cast<int64_t>(linear.size());
    return new torch::jit::Module(std::move(frozen));
  } catch (const std::exception& error) {
    say(error.what(), message, capacity);
  } catch (...) {
    say("an exception without a message", message, capacity);
  }
  return nullptr;
}

// Rounds what floating-point numbers a module holds to float16 or bfloat16, in place. Integers stay what they are, which the module's own
// conversion does not do. False where that fails; `message` says why.
extern "C" bool batch_infer_round(void* module, bool bfloat16, char* message, size_t capacity) {
  try {
    at::NoGradGuard guard;
    const auto kind = bfloat16 ? at::kBFloat16 : at::kHalf;
    for (const c10::IValue& value : static_cast<torch::jit::Module*>(module)->attributes(/*recurse=*/true)) {
      if (value.isTensor() && value.toTensor().defined() && at::isFloatingType(value.toTensor().scalar_type())) {
        at::Tensor tensor = value.toTensor();
        tensor.set_data(tensor.to(kind));
      }
    }
    return true;
  } catch (const std::exception& error) {
    say(error.what(), message, capacity);
  } catch (...) {
    say("an exception without a message", message, capacity);
  }
  return false;
}
