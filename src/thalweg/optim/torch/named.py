"""torch.optim's names, with its arguments in its order: change the import, and nothing else.

Options that a class does not name are those of `Optimizer`: backend, rounding, seed, and torch's maximize, foreach, fused,
capturable, differentiable. Where libraries differ, a flag of the rule chooses the form (`eps_at`, `convention`, ...).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim import rules
from thalweg.optim.language.rule import Rule
from thalweg.optim.torch.names import group_of, rule_of
from thalweg.optim.torch.optimizer import Optimizer

Params: TypeAlias = Iterable[Any]
Pair: TypeAlias = tuple[float | Tensor, float | Tensor]
Rate: TypeAlias = float | Tensor


def _made(optimizer: Optimizer, kind: type[Rule], given: dict[str, Any]) -> Rule:
    """The rule of a constructor's arguments."""
    return rule_of(kind, given, type(optimizer).__name__, read_once=True)


class SGD(Optimizer):
    """`rules.SGD`, or with momentum `rules.HeavyBall` or `rules.Nesterov`: the group's numbers decide at every step."""

    switches: ClassVar[dict[str, bool | None]] = {**Optimizer.switches, "nesterov": False}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            msg = f"nesterov=True with momentum={momentum!r}, dampening={dampening!r}; it needs momentum, and no dampening"
            raise RuleError(msg)
        given = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, _made(self, rules.HeavyBall, given), lr=lr, nesterov=nesterov, **options)

    def _described(self, rule: Rule) -> dict[str, Any]:
        return {"rule": "SGD", **group_of(rule)} if type(rule) is rules.HeavyBall else super()._described(rule)

    def rule_of(self, group: dict[str, Any]) -> Rule:
        """The rule of a parameter group, as its numbers stand now."""
        if group["rule"] != "SGD":
            return super().rule_of(group)
        kind = rules.SGD if not float(group["momentum"]) else rules.Nesterov if group["nesterov"] else rules.HeavyBall
        return rule_of(kind, group, self.title(group))


class Adam(Optimizer):
    """`rules.Adam` as torch.optim.Adam. amsgrad may also be "after": the largest corrected v, as optax."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool | str = False,
        *,
        decoupled_weight_decay: bool = False,
        eps_at: str = "corrected",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "eps_at": eps_at}
        rule = _made(self, rules.Adam, {**given, "decoupled_weight_decay": decoupled_weight_decay})
        super().__init__(params, rule, lr=lr, **options)


class AdamW(Optimizer):
    """`rules.AdamW` as torch.optim.AdamW."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool | str = False,
        *,
        eps_at: str = "corrected",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "eps_at": eps_at}
        super().__init__(params, _made(self, rules.AdamW, given), lr=lr, **options)


class NAdam(Optimizer):
    """`rules.NAdam` as torch.optim.NAdam."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        rule = _made(self, rules.NAdam, {**given, "decoupled_weight_decay": decoupled_weight_decay})
        super().__init__(params, rule, lr=lr, **options)


class RAdam(Optimizer):
    """`rules.RAdam` as torch.optim.RAdam."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        eps_at: str = "uncorrected",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "eps_at": eps_at}
        rule = _made(self, rules.RAdam, {**given, "decoupled_weight_decay": decoupled_weight_decay})
        super().__init__(params, rule, lr=lr, **options)


class Adamax(Optimizer):
    """`rules.Adamax` as torch.optim.Adamax."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        eps_at: str = "inside",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "eps_at": eps_at}
        super().__init__(params, _made(self, rules.Adamax, given), lr=lr, foreach=foreach, **options)


class AdaBelief(Optimizer):
    """`rules.AdaBelief`, with the arguments of Adam."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0,
        *,
        decoupled_weight_decay: bool = False,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        rule = _made(self, rules.AdaBelief, {**given, "decoupled_weight_decay": decoupled_weight_decay})
        super().__init__(params, rule, lr=lr, **options)


class RMSprop(Optimizer):
    """`rules.RMSprop` as torch.optim.RMSprop."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        eps_at: str = "outside",
        lr_in_buffer: bool = False,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        rule = _made(self, rules.RMSprop, {**given, "eps_at": eps_at, "lr_in_buffer": lr_in_buffer})
        switches: dict[str, Any] = {
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, rule, lr=lr, **switches, **options)


class Adagrad(Optimizer):
    """`rules.AdaGrad` as torch.optim.Adagrad."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        eps_at: str = "outside",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "eps_at": eps_at}
        rule = _made(self, rules.AdaGrad, {**given, "initial_accumulator_value": initial_accumulator_value})
        super().__init__(params, rule, lr=lr, foreach=foreach, **options)


class Adadelta(Optimizer):
    """`rules.Adadelta` as torch.optim.Adadelta."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, _made(self, rules.Adadelta, given), lr=lr, foreach=foreach, **options)


class Rprop(Optimizer):
    """`rules.Rprop` as torch.optim.Rprop."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        etas: Pair = (0.5, 1.2),
        step_sizes: Pair = (1e-6, 50),
        **options: Any,
    ) -> None:
        rule = _made(self, rules.Rprop, {"lr": lr, "etas": etas, "step_sizes": step_sizes})
        super().__init__(params, rule, lr=lr, **options)


class Lion(Optimizer):
    """`rules.Lion`, with the arguments of AdamW."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-4,
        betas: Pair = (0.9, 0.99),
        weight_decay: float = 0,
        **options: Any,
    ) -> None:
        rule = _made(self, rules.Lion, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        super().__init__(params, rule, lr=lr, **options)


class LARS(Optimizer):
    """`rules.LARS`, with the arguments of SGD."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0,
        trust: float = 1e-3,
        eps: float = 0,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps}
        super().__init__(params, _made(self, rules.LARS, given), lr=lr, **options)


class LAMB(Optimizer):
    """`rules.LAMB`, with the arguments of AdamW."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, _made(self, rules.LAMB, given), lr=lr, **options)


class Adafactor(Optimizer):
    """`rules.Adafactor` as torch.optim.Adafactor. Tensors of one axis keep their full second moment."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, _made(self, rules.Adafactor, given), lr=lr, **options)


class Muon(Optimizer):
    """`rules.Muon` as torch.optim.Muon for matrices; others, which torch refuses, take AdamW's step with adamw_betas and _eps."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        adamw_betas: Pair = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        **options: Any,
    ) -> None:
        given = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "eps": eps}
        given |= {"ns_coefficients": ns_coefficients, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        given |= {"adamw_betas": adamw_betas, "adamw_eps": adamw_eps}
        super().__init__(params, _made(self, rules.Muon, given), lr=lr, **options)


class ScheduleFree(Optimizer):
    """`rules.ScheduleFree`: AdamW or, with inner="sgd", SGD inside. Evaluate the model within `opt.swap()`."""

    def __init__(
        self,
        params: Params,
        lr: Rate = 2.5e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        inner: str = "adamw",
        **options: Any,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "inner": inner}
        super().__init__(params, _made(self, rules.ScheduleFree, given), lr=lr, **options)
