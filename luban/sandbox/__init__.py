"""Run programs that a model wrote where they can do no harm."""

from luban.sandbox.limits import Limits, Outcome, Verdict
from luban.sandbox.run import Runner, run_in_sandbox
from luban.sandbox.unsafe import run_without_sandbox

__all__ = ["Limits", "Outcome", "Runner", "Verdict", "run_in_sandbox", "run_without_sandbox"]
