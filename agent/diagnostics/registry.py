"""The checks that this build has. A new one is a file beside this one and a line here."""

from agent.diagnostics.capture import CaptureCheck
from agent.diagnostics.check import Check
from agent.diagnostics.clock import ClockCheck
from agent.diagnostics.disk import DiskCheck
from agent.diagnostics.smart import SmartCheck

CHECKS: tuple[Check, ...] = (CaptureCheck(), DiskCheck(), ClockCheck(), SmartCheck())
