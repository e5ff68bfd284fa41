"""Whoever reads or writes a lazy table finds it as the dense optimizer would have it, and no row's gradient is dropped."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

from thalweg import jit
from thalweg.errors import RuleError

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")
functional = pytest.importorskip("torch.nn.functional")

pytestmark = pytest.mark.skipif(not jit.enabled(), reason="lazy rows need the compiled back end")
HEIGHT, WIDTH = 20, 3


class Model(torch.nn.Module):
    """Sums of rows through a layer."""

    def __init__(self, sparse: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(WIDTH, HEIGHT, bias=False)
        self.table = torch.nn.Embedding(HEIGHT, WIDTH, sparse=sparse)
        self.double()

    def forward(self, ids):
        return self.head(torch.tanh(self.table(ids).sum(1)))


def world(lazy, sparse=False, **options):
    model = Model(sparse and lazy)
    opt = fused.AdamW(model.parameters(), lr=0.05, weight_decay=0.1, **options)
    if lazy:
        opt.lazy_rows(model.table)
    return model, opt


def train(model, opt, steps=12, seed=1, loss=None):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        ids = torch.randint(0, 6, (4, 2), generator=generator)
        opt.zero_grad()
        (loss or plain)(model, ids).backward()
        opt.step()


def plain(model, ids):
    return functional.cross_entropy(model(ids), ids[:, 0])


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def tied(model, ids):
    return functional.cross_entropy(torch.tanh(model.table(ids).sum(1)) @ model.table.weight.t(), ids[:, 0])


def tied_layer(model, ids):
    return functional.cross_entropy(functional.linear(model.table(ids).sum(1), model.table.weight), ids[:, 0])


def by_function(model, ids):
    return functional.cross_entropy(model.head(functional.embedding(ids, model.table.weight).sum(1)), ids[:, 0])


def by_keyword(model, ids):
    return functional.cross_entropy(model.head(functional.embedding(input=ids, weight=model.table.weight).sum(1)), ids[:, 0])


def by_bag(model, ids):
    return functional.cross_entropy(model.head(functional.embedding_bag(ids, model.table.weight, mode="sum")), ids[:, 0])


def by_index(model, ids):
    return functional.cross_entropy(model.head(model.table.weight[ids - HEIGHT].sum(1)), ids[:, 0])


def by_selection(model, ids):
    return functional.cross_entropy(model.head(model.table.weight.index_select(0, ids[:, 0])), ids[:, 0])


def regularised(model, ids):
    return plain(model, ids) + 0.01 * model.table.weight.norm()


def by_call(model, ids):
    return functional.cross_entropy(torch.func.functional_call(model, dict(model.named_parameters()), (ids,)), ids[:, 0])


def by_vector(model, ids):
    return plain(model, ids) + 0.01 * torch.nn.utils.parameters_to_vector(model.parameters()).square().sum()


LOSSES = [plain, tied, tied_layer, by_function, by_keyword, by_bag, by_index, by_selection, regularised, by_call, by_vector]


@pytest.mark.parametrize("soft_batch", [1, 3])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_every_way_to_read_the_weight_trains_as_the_dense_optimizer_does(loss, soft_batch):
    """GPT-2 ties its output layer to the embedding; others go past the module that was made lazy."""
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy, soft_batch=soft_batch)
        train(model, opt, loss=loss)
        ends.append([p.detach().clone() for p in model.parameters()])
    same(*ends)


def by_hand(model, opt):
    """A gradient in rows that nobody has read: gradients summed over machines, noise, a penalty added by hand."""
    train(model, opt)
    opt.zero_grad()
    plain(model, torch.tensor([[0, 1]])).backward()
    model.table.weight.grad = model.table.weight.grad.to_dense().index_fill(0, torch.tensor([17]), 0.5)
    opt.step()


def gone_back(model, opt):
    """A graph from before a step, which goes backwards after it."""
    late = model.table(torch.tensor([[15, 16]])).sum()
    train(model, opt)
    opt.zero_grad()
    late.backward()
    opt.step()


def written_in_place(model, opt):
    train(model, opt)
    with torch.no_grad():
        model.table.weight[12:] = 1.0
        model.table.weight.mul_(0.5)
    train(model, opt, 3)


def written_past_autograd(model, opt):
    train(model, opt)
    model.table.weight.data[10:] *= 2
    model.table.weight.data = model.table.weight.data.clone()
    train(model, opt, 3)


def back_to_a_checkpoint(model, opt):
    train(model, opt, 4)
    saved = copy.deepcopy((model.state_dict(), opt.state_dict()))
    train(model, opt, 5, seed=2)
    model.load_state_dict(saved[0])
    opt.load_state_dict(saved[1])
    train(model, opt, 3)


def back_in_the_other_order(model, opt):
    train(model, opt, 4)
    saved = copy.deepcopy((model.state_dict(), opt.state_dict()))
    train(model, opt, 5, seed=2)
    opt.load_state_dict(saved[1])
    model.load_state_dict(saved[0])
    train(model, opt, 3)


def the_optimizer_alone(model, opt):
    train(model, opt, 4)
    saved = copy.deepcopy(opt.state_dict())
    train(model, opt, 5, seed=2)
    opt.load_state_dict(saved)
    train(model, opt, 3)


def state_forgotten(model, opt):
    train(model, opt)
    del opt.state[model.table.weight]
    train(model, opt, 3)


def slot_replaced(model, opt):
    train(model, opt)
    opt.state[model.table.weight]["exp_avg"] = torch.ones(HEIGHT, WIDTH, dtype=torch.float64)
    train(model, opt, 3)


def taller(model, opt):
    """New words in the vocabulary."""
    train(model, opt)
    opt.catch_up()
    p = model.table.weight
    p.data, p.grad = torch.cat([p.data, torch.ones(5, WIDTH, dtype=torch.float64)]), None
    for key in ("exp_avg", "exp_avg_sq"):
        held = opt.state[p]
        held[key] = torch.cat([held[key], torch.zeros(5, WIDTH, dtype=torch.float64)])
    functional.embedding(torch.tensor([HEIGHT + 4]), p).sum().backward()
    opt.step()
    train(model, opt, 3)


EVENTS = [by_hand, gone_back, written_in_place, written_past_autograd, back_to_a_checkpoint, back_in_the_other_order]
EVENTS += [the_optimizer_alone, state_forgotten, slot_replaced, taller]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_whatever_happens_to_the_weight_the_path_is_that_of_the_dense_optimizer(event, sparse):
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy, sparse)
        event(model, opt)
        ends.append([p.detach().clone() for p in model.parameters()])
    same(*ends)


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def saved(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled, saved], ids=lambda duplicate: duplicate.__name__)
def test_copies_are_whole_and_go_on_alone(duplicate):
    """The model is copied before the optimizer is asked; the copy is lazy again, and what it does is not the first one's."""
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy, sparse=True)
        train(model, opt)
        alone = duplicate(model)
        assert type(alone.table.weight) is torch.nn.Parameter
        twin, other = duplicate((model, opt))
        weights = [p.detach().clone() for each in (alone, twin) for p in each.parameters()]
        train(twin, other, 4)
        assert ("lazy" in other.explain()) == lazy
        ends.append([*weights, *(p.detach().clone() for each in (twin, model) for p in each.parameters())])
    same(*ends)


TRANSFORMS = {
    "grad": lambda w: torch.func.grad(lambda w: (w**3).sum())(w),
    "vjp": lambda w: torch.func.vjp(lambda w: w**2, w)[0],
    "jvp": lambda w: torch.func.jvp(lambda w: w**3, (w,), (torch.ones_like(w),))[1],
    "jacrev": lambda w: torch.func.jacrev(lambda w: (w**3).sum(1))(w),
    "vmap": lambda w: torch.func.vmap(torch.sum)(w),
    "vmap over ids": lambda w: torch.func.vmap(lambda i: functional.embedding(i, w).sum())(torch.arange(HEIGHT).view(-1, 2)),
    "grad beside": lambda w: torch.func.grad(lambda x: (x * w).sum())(torch.ones_like(w)),
    "functionalize": lambda w: torch.func.functionalize(lambda w: w * 2)(w),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, in jvp
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_of_functions_reads_rows_at_the_present(transform):
    """torch.func wraps a tensor where no function of torch is called, and read rows as they were left."""
    found = []
    for lazy in (True, False):
        model, opt = world(lazy)
        train(model, opt)
        found.append(TRANSFORMS[transform](model.table.weight).detach())
    same(*found)


def test_a_table_that_was_swapped_is_lazy_again():
    """torch.utils.swap_tensors, as module.to does it with torch.__future__: the weight was plain then, and its rows were lost."""
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy)
        train(model, opt)
        torch.utils.swap_tensors(model.table.weight, torch.nn.Parameter(model.table.weight.detach().clone()))
        train(model, opt, seed=2)
        assert opt.explain().count("lazy") == lazy
        ends.append(model.table.weight.detach().clone())
    same(*ends)


def test_an_averaged_model_averages_rows_at_the_present():
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy)
        train(model, opt, 3)
        average = torch.optim.swa_utils.AveragedModel(model)
        for k in range(4):
            train(model, opt, 2, seed=k)
            average.update_parameters(model)
        ends.append([p.detach().clone() for p in average.parameters()])
    same(*ends)


def test_a_diagnosis_sees_rows_at_the_present():
    from thalweg.optim.diagnosis.problem import copied

    losses = []
    for lazy in (True, False):
        model, opt = world(lazy)
        train(model, opt)
        with copied((model, plain, [torch.arange(HEIGHT).reshape(-1, 2)], opt), 1) as problem:
            losses.append(problem.value(0).item())
            problem.step(problem.batches[0])
            losses.append(problem.value(0).item())
    same(torch.tensor(losses[:2]), torch.tensor(losses[2:]))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's own, where a graph is cut
def test_a_compiled_model_reads_rows_at_the_present():
    ends = []
    for lazy in (True, False):
        model, opt = world(lazy)
        run = torch.compile(model, backend="eager")
        train(model, opt, 6, loss=lambda _, ids, run=run: plain(run, ids))
        ends.append([p.detach().clone() for p in model.parameters()])
    same(*ends)


def test_an_optimizer_that_takes_over_starts_from_rows_at_the_present():
    """Lazy again or dense; the first one is not stepped any more, and says so where the rows are the other's."""
    ends = []
    for lazy, then in ((True, "lazy"), (True, "dense"), (False, "dense")):
        model, opt = world(lazy)
        train(model, opt)
        late = fused.SGD(model.parameters(), lr=0.1)
        if then == "lazy":
            late.lazy_rows(model.table)
        train(model, late, 3)
        if then == "lazy":
            model.table.weight.grad = torch.ones_like(model.table.weight)
            with pytest.raises(RuleError, match="another optimizer has taken over"):
                opt.step()
        ends.append([p.detach().clone() for p in model.parameters()])
    same(ends[0], ends[2])
    same(ends[1], ends[2])


def test_memory_shared_with_another_parameter_is_refused():
    """Tied by .data, a second parameter reads the rows unseen."""
    model = Model()
    model.head.weight.data = model.table.weight.data
    opt = fused.AdamW(model.parameters())
    opt.lazy_rows(model.table)
    plain(model, torch.tensor([[0, 1]])).backward()
    with pytest.raises(RuleError, match="shares memory with another parameter"):
        opt.step()


@pytest.mark.parametrize("what", ["slot", "gradient"])
def test_a_tensor_of_another_shape_is_refused(what):
    model, opt = world(lazy=True)
    train(model, opt)
    p = model.table.weight
    if what == "slot":
        opt.state[p]["exp_avg"].resize_(2)
        with pytest.raises(RuleError, match="a slot was resized or moved while rows were behind"):
            p.sum()
    else:
        p.grad.data = p.grad.data[:2]
        with pytest.raises(RuleError, match=r"a gradient of shape \(2, 3\) of a table of shape \(20, 3\)"):
            opt.step()
