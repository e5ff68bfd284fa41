"""State: to and from checkpoints of torch.optim, through pickles and copies, and what is refused."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

from thalweg import optim
from thalweg.errors import RuleError

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

NAMES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adamax", {}),
    ("Rprop", {}),
]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def go_on(opt, params, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        opt.step()
    return [p.detach().clone() for p in params]


def started(make, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(n, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for n in (5, 3)]
    opt = make([{"params": params[:1]}, {"params": params[1:], "lr": 0.05}])
    go_on(opt, params, 7, seed=1)
    return opt, params


def through_a_file(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.mark.parametrize("way", ["theirs to ours", "ours to theirs"])
@pytest.mark.parametrize(("name", "options"), NAMES, ids=lambda x: x if isinstance(x, str) else "-".join(x) or "plain")
def test_a_checkpoint_goes_both_ways_between_torch_optim_and_ours(name, options, way, double):
    """Seven steps here, seven more there: the path of fourteen steps of torch.optim, to 1e-12."""

    def theirs(params):
        return getattr(torch.optim, name)(params, **options)

    def ours(params):
        return getattr(fused, name)(params, **options)

    before, after = (theirs, ours) if way == "theirs to ours" else (ours, theirs)
    whole, whole_params = started(theirs)
    first, params = started(before)
    second = after([{"params": params[:1]}, {"params": params[1:]}])
    second.load_state_dict(through_a_file(first.state_dict()))
    for a, b in zip(go_on(whole, whole_params, 7, seed=2), go_on(second, params, 7, seed=2), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert second.param_groups[1]["lr"] == 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("make", [fused.NAdam, fused.RMSprop, fused.Lion, fused.LAMB], ids=lambda make: make.__name__)
def test_a_run_resumed_from_its_own_state_has_the_same_bits(make, dtype):
    """Slots of bfloat16 parameters stay float32, and the product of momenta float64, which torch's loading would narrow."""
    first, params = started(make, dtype)
    state = through_a_file(first.state_dict())
    copies = [p.detach().clone().requires_grad_() for p in params]
    second = make([{"params": copies[:1]}, {"params": copies[1:]}])
    second.load_state_dict(state)
    for a, b in zip(go_on(first, params, 5, seed=3), go_on(second, copies, 5, seed=3), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_an_optimizer_is_copied_whole(duplicate):
    opt, _ = started(lambda params: fused.Optimizer(params, optim.AdamW(lr=0.1), backend="foreach", seed=3))
    twin = duplicate(opt)
    mine, its = ([p for group in o.param_groups for p in group["params"]] for o in (opt, twin))
    for a, b in zip(go_on(opt, mine, 3, seed=4), go_on(twin, its, 3, seed=4), strict=True):
        assert torch.equal(a, b)
    assert (twin.how.backend, twin.how.seed) == ("foreach", 3)
    assert all(p is not q for p, q in zip(mine, its, strict=True))


def test_the_state_is_spelt_as_torch_spells_it():
    opt, params = started(fused.Adam)
    assert set(opt.state[params[0]]) == {"step", "exp_avg", "exp_avg_sq"}
    assert opt.state[params[0]]["step"].item() == 7
    assert opt.state_dict()["param_groups"][0]["betas"] == (0.9, 0.999)
    assert opt.state_dict()["param_groups"][0]["rule"] == "Adam"


def test_a_state_set_by_hand_is_obeyed():
    """`step` in a state is the number that the next step counts from."""
    opt, params = started(fused.Adam)
    opt.state[params[0]]["step"].fill_(100)
    go_on(opt, params, 1, seed=0)
    assert [opt.state[p]["step"].item() for p in params] == [101, 8]
    opt.state.clear()
    go_on(opt, params, 1, seed=0)
    assert [opt.state[p]["step"].item() for p in params] == [1, 1]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("Muon", {"adjust_lr_fn": "match_rms_adamw"}),
        ("Muon", {"ns_steps": 2, "eps": 0.5}),
        ("Muon", {"ns_coefficients": (3.0, -4.0, 2.0)}),
        ("Adafactor", {"beta2_decay": -0.3}),
        ("Adafactor", {"eps": (0.0, 10.0), "d": 2.0}),
        ("Adafactor", {"eps": (0.1, 0.1)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["constructor", "group", "checkpoint"])
def test_torch_s_spelling_is_read_wherever_it_stands(name, given, way):
    """In a group and a checkpoint `adjust_lr_fn` and `beta2_decay` were once passed over, without a word."""
    ends = []
    for library in (torch.optim, fused):
        generator = torch.Generator().manual_seed(0)
        p = torch.nn.Parameter(torch.randn(3, 4, generator=generator, dtype=torch.float64))
        opt = getattr(library, name)(
            [{"params": [p], **given}] if way == "group" else [p], **(given if way == "constructor" else {})
        )
        if way == "checkpoint":
            opt.load_state_dict(getattr(torch.optim, name)([p], **given).state_dict())
        for _ in range(4):
            p.grad = 1e-9 * torch.randn(3, 4, generator=generator, dtype=torch.float64)  # so small that eps tells
            opt.step()
        ends.append(p.detach())
        assert given.items() <= opt.param_groups[0].items()
    tolerance = 2e-3 if name == "Muon" else 1e-10  # torch's Muon iterates in bfloat16, steps of 1e-3
    torch.testing.assert_close(*ends, rtol=0, atol=tolerance)


def test_a_checkpoint_with_a_number_that_is_not_allowed_changes_nothing():
    opt, _ = started(fused.Adafactor)
    state = opt.state_dict()
    for key, value, sentence in (
        ("d", 0.5, "d=0.5 is not allowed"),
        ("decay_power", 0.5, "'decay_power' .* is spelt 'beta2_decay'"),
    ):
        bad = copy.deepcopy(state)
        bad["param_groups"][1][key] = value
        with pytest.raises(RuleError, match=sentence):
            opt.load_state_dict(bad)
    assert opt.param_groups[1]["d"] == 1


def test_the_state_of_another_rule_is_refused():
    lion, _ = started(fused.Lion)
    adam, _ = started(fused.Adam)
    with pytest.raises(RuleError, match="the state is that of Lion, this optimizer's rule is Adam"):
        adam.load_state_dict(lion.state_dict())


def test_a_slot_of_another_shape_is_refused():
    opt, params = started(fused.Adam)
    state = opt.state_dict()
    state["state"][0]["exp_avg"] = torch.zeros(9)
    opt.load_state_dict(state)
    with pytest.raises(RuleError, match=r"state 'exp_avg' has shape \(9,\), its parameter \(5,\)"):
        go_on(opt, params, 1, seed=0)


HALVES = [(backend, dtype) for backend in ("auto", "foreach", "single") for dtype in (torch.bfloat16, torch.float16)]


def halves(dtype, options, make=lambda params, **options: fused.Optimizer(params, optim.Adam(lr=1e-4), **options)):
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(n, generator=generator).to(dtype).requires_grad_() for n in ((7, 3), (5,))]
    return params, make(params, **options)


@pytest.mark.parametrize(("backend", "dtype"), HALVES)
def test_a_master_takes_the_path_of_float32_and_the_parameter_is_its_rounding(backend, dtype):
    """Adam's step of 1e-4 is below the spacing of bfloat16 around 1: without a master nothing would move at all."""
    params, opt = halves(dtype, {"backend": backend, "master": True})
    twins = [p.detach().float().requires_grad_() for p in params]
    other = torch.optim.Adam(twins, lr=1e-4)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        for p, twin in zip(params, twins, strict=True):
            p.grad = torch.randn(p.shape, generator=generator).to(dtype)
            twin.grad = p.grad.float()
        opt.step()
        other.step()
    for p, twin in zip(params, twins, strict=True):
        assert opt.state[p]["master"].dtype == torch.float32
        torch.testing.assert_close(opt.state[p]["master"], twin, rtol=1e-6, atol=1e-6)
        assert torch.equal(p, opt.state[p]["master"].to(dtype))


@pytest.mark.parametrize(("backend", "dtype"), HALVES)
def test_a_saved_master_goes_on_bit_for_bit(backend, dtype):
    """A checkpoint of model and optimizer holds it all: the twin that is loaded makes the same steps."""
    params, opt = halves(dtype, {"backend": backend, "master": True})
    go_on(opt, params, 9, seed=1)
    others, twin = halves(dtype, {"backend": backend, "master": True})
    twin.load_state_dict(through_a_file(opt.state_dict()))
    with torch.no_grad():
        for p, other in zip(params, others, strict=True):
            other.copy_(p)
    assert all(map(torch.equal, go_on(opt, params, 9, seed=2), go_on(twin, others, 9, seed=2)))
    assert all(torch.equal(opt.state[p]["master"], twin.state[q]["master"]) for p, q in zip(params, others, strict=True))


def test_what_somebody_else_writes_to_a_parameter_its_master_takes_over():
    """A model's load_state_dict between two steps counts; swapping weights to and fro leaves the master's lower bits alone."""
    params, opt = halves(torch.bfloat16, {"master": True})
    go_on(opt, params, 3, seed=1)
    average = fused.EMA(opt)
    masters = [opt.state[p]["master"].clone() for p in params]
    with average.swap():
        pass
    for group in opt.param_groups:
        group["lr"] = 0.0
    go_on(opt, params, 1, seed=2)
    assert all(torch.equal(opt.state[p]["master"], before) for p, before in zip(params, masters, strict=True))
    with torch.no_grad():
        params[0].fill_(2.0)
    params[1].data = torch.full_like(params[1].data, 3.0)
    go_on(opt, params, 1, seed=2)
    assert [p.unique().tolist() for p in params] == [[2.0], [3.0]]


@pytest.mark.parametrize(("backend", "dtype"), HALVES)
@pytest.mark.parametrize("master", [False, True])
def test_slots_may_be_of_the_parameter_s_dtype(backend, dtype, master):
    """One step from zero slots is the float32 step with m and v rounded once: p is the same, the slots are their rounding."""
    options = {"backend": backend, "master": master}
    params, opt = halves(dtype, options | {"state_dtype": "param"})
    others, exact = halves(dtype, options)
    assert all(map(torch.equal, go_on(opt, params, 1, seed=1), go_on(exact, others, 1, seed=1)))
    for p, other in zip(params, others, strict=True):
        for key in ("exp_avg", "exp_avg_sq"):
            assert opt.state[p][key].dtype == dtype
            assert torch.equal(opt.state[p][key], exact.state[other][key].to(dtype))


def test_a_float32_parameter_needs_no_master():
    """Master and state_dtype are for 16 bits: nothing else changes by them."""
    params, opt = halves(torch.float32, {"master": True, "state_dtype": "param"})
    others, plain = halves(torch.float32, {})
    assert all(map(torch.equal, go_on(opt, params, 5, seed=1), go_on(plain, others, 5, seed=1)))
    assert "master" not in opt.state[params[0]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"master": True, "rounding": "stochastic"}, "choose one of them"),
        ({"state_dtype": "params"}, "state_dtype='params' is not known. Did you mean param"),
    ],
)
def test_ways_to_keep_numbers_that_do_not_go_together_are_refused(options, sentence):
    with pytest.raises(RuleError, match=sentence):
        halves(torch.bfloat16, options)


def test_a_step_of_several_gradients_has_its_master_too():
    """On a loss c.p the gradient is c everywhere: ten steps of Heun end at p - 10 lr c, to float32, though p is bfloat16."""
    p = torch.ones(4, dtype=torch.bfloat16, requires_grad=True)
    c = torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.bfloat16)
    opt = fused.Optimizer([p], optim.Heun(lr=1e-4), master=True)

    def closure():
        opt.zero_grad()
        loss = (c * p).sum()
        loss.backward()
        return loss

    for _ in range(10):
        opt.step(closure)
    torch.testing.assert_close(opt.state[p]["master"], 1 - 1e-3 * c.float())
    with pytest.raises(RuleError, match="would round where a step of several gradients starts"):
        fused.Optimizer([p], optim.Heun(lr=1e-4), master=True, state_dtype="param").step(closure)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", [{}, {"master": True}], ids=str)
def test_what_a_hook_makes_of_a_state_is_what_is_loaded(options, dtype):
    """pytorch 1489: a pre-hook brings the state into the order of the names; later hooks see what is loaded, whole."""

    def reordered(opt, given):
        names, theirs = opt.param_groups[0]["param_names"], given["param_groups"][0]["param_names"]
        state = {k: given["state"][theirs.index(name)] for k, name in enumerate(names)}
        group = {**given["param_groups"][0], "params": list(range(len(names))), "param_names": names}
        return {**given, "state": state, "param_groups": [group]}

    def made(order):
        named = {name: torch.nn.Parameter(torch.full((k + 2,), 1.0, dtype=dtype)) for k, name in enumerate("abc")}
        return named, fused.NAdam([(name, named[name]) for name in order], lr=0.01, **options)

    named, opt = made("abc")
    for t in range(3):
        for k, p in enumerate(named.values()):
            p.grad = torch.full_like(p, 0.3 * k + 0.1 * t)
        opt.step()
    again, other = made("ca")
    other.register_load_state_dict_pre_hook(reordered)
    seen = []
    other.register_load_state_dict_post_hook(lambda opt: seen.append(opt.state[again["c"]]["exp_avg"].dtype))
    other.load_state_dict(opt.state_dict())
    assert seen == [torch.float32]
    for name in "ca":
        for key, value in opt.state[named[name]].items():
            assert torch.equal(other.state[again[name]][key], value)
            assert other.state[again[name]][key].dtype == value.dtype


def test_two_optimizers_share_no_slots():
    """The second goes on alone from what it has loaded, as it stands."""
    ps = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    first, second = (fused.Adam([p], lr=0.1) for p in ps)
    ps[0].grad = torch.ones(3)
    first.step()
    before = {key: value.clone() for key, value in first.state[ps[0]].items()}
    second.load_state_dict(first.state_dict())
    ps[1].grad = torch.ones(3)
    second.step()
    assert all(torch.equal(value, before[key]) for key, value in first.state[ps[0]].items())


@pytest.mark.parametrize("kind", ["sam", "soft batch", "plain"])
def test_the_state_functions_of_torch_distributed_make_no_step(kind):
    """They learn what a state holds from a first step with rates and gradients of 0."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def made():
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1)
        options = {"sam": {"model": model}, "soft batch": {"soft_batch": 2}, "plain": {}}[kind]
        rule = optim.SAM(optim.HeavyBall(lr=0.1)) if kind == "sam" else optim.HeavyBall(lr=0.1)
        return model, fused.Optimizer(model.parameters(), rule, **options)

    def train(model, opt, steps):
        def closure():
            opt.zero_grad()
            loss = model(torch.ones(3, 2)).square().sum()
            loss.backward()
            return loss

        for _ in range(steps):
            opt.step(closure)

    model, opt = made()
    train(model, opt, 4)
    other, late = made()
    other.load_state_dict(model.state_dict())
    set_optimizer_state_dict(other, late, get_optimizer_state_dict(model, opt))
    train(model, opt, 3)
    train(other, late, 3)
    assert torch.equal(model.weight, other.weight)
    assert opt.updates == late.updates


def test_the_default_device_of_torch_is_not_that_of_the_numbers_of_a_state():
    """Counts and scalars stay on the host: a model on the CPU beside torch.set_default_device("cuda") (here: "meta")."""
    p = torch.nn.Parameter(torch.ones(3))
    opt = fused.NAdam([p], lr=0.1)
    p.grad = torch.ones(3)
    with torch.device("meta"):
        opt.step()
        opt.load_state_dict(opt.state_dict())
        opt.step()
    assert opt.state[p]["step"] == 2
    assert p.device.type == "cpu"


@pytest.mark.parametrize("theirs", ["RMSprop", "Adagrad", "Adamax", "NAdam", "Adadelta", "Rprop", "ASGD"])
def test_the_state_of_another_of_torchs_optimizers_is_refused(theirs: str) -> None:
    """It was taken without a word: its slots lay idle beside new ones, and t went on as if they were old."""
    p = torch.nn.Parameter(torch.ones(3))
    other = getattr(torch.optim, theirs)([p], lr=0.01)
    p.grad = torch.ones(3)
    other.step()
    for make in (fused.Adam, fused.Lion, fused.SGD):
        opt = make([p], lr=0.5)
        with pytest.raises(RuleError, match=f"which {type(opt).__name__}|which HeavyBall.* another optimizer's"):
            opt.load_state_dict(copy.deepcopy(other.state_dict()))
        assert (opt.param_groups[0]["lr"], len(opt.state)) == (0.5, 0)


def test_a_state_that_lacks_what_the_rule_keeps_is_refused() -> None:
    """Adam's state has all that NAdam keeps but the product of its momenta."""
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    for theirs, make, key in (
        (torch.optim.Adam([p]), fused.NAdam, "mu_product"),
        (torch.optim.SGD([p], 0.1, 0.9), fused.RMSprop, "square_avg"),
    ):
        theirs.step()
        with pytest.raises(RuleError, match=f"lacks '{key}'"):
            make([p]).load_state_dict(copy.deepcopy(theirs.state_dict()))


@pytest.mark.parametrize("make", [fused.Adam, fused.RMSprop, fused.Adagrad, fused.Rprop, fused.Lion, fused.Muon])
def test_the_numbers_of_an_optimizer_that_keeps_nothing_are_refused(make: Any) -> None:
    """SGD without momentum has an empty state: its rate of 0.1 went to Adam without a word."""
    p = torch.nn.Parameter(torch.ones(3, 3))
    opt = make([p], lr=0.5)
    with pytest.raises(RuleError, match="'dampening' and lacks"):
        opt.load_state_dict(torch.optim.SGD([p], lr=0.1).state_dict())
    with pytest.raises(RuleError, match="and lacks 'dampening', a number of HeavyBall: it is another"):
        fused.SGD([p], lr=0.5, momentum=0.9).load_state_dict(torch.optim.Adam([p]).state_dict())
    assert opt.param_groups[0]["lr"] == 0.5


def test_a_state_of_an_older_torch_with_entries_of_the_user_is_taken() -> None:
    """It lacks what came later, and a group may hold what somebody has put there."""
    p = torch.nn.Parameter(torch.ones(3))
    opt, saved = fused.Adam([p]), torch.optim.Adam([p], lr=0.25).state_dict()
    group = {key: saved["param_groups"][0][key] for key in ("lr", "betas", "eps", "weight_decay", "params")}
    opt.load_state_dict({"state": {}, "param_groups": [{**group, "momentum": "mine", "initial_lr": 0.5}]})
    assert opt.param_groups[0]["lr"] == 0.25


def test_a_begun_soft_batch_is_ended_by_an_optimizer_without_one() -> None:
    """Its gradients lay in the optimizer for good."""
    ps = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    begun, other = fused.SGD([ps[0]], lr=1.0, soft_batch=4), fused.SGD([ps[1]], lr=1.0)
    ps[0].grad = torch.tensor([3.0, 0.0])
    begun.step()
    other.load_state_dict(begun.state_dict())
    ps[1].grad = torch.tensor([1.0, 2.0])
    other.step()
    assert (ps[1].tolist(), other.updates, "soft_batch" in other.state_dict()) == ([-1.0, 0.0], 1, False)
