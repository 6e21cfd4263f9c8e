"""What a federation in one process leaves out of FLARE's work, and that nothing is lost by it."""

import logging

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils import task_utils

from fedbrats.flare.one_process import lean
from fedbrats.flare.one_process.parts import hearing


class Deaf(FLComponent):
    pass


class Hears(FLComponent):
    def handle_event(self, event_type, fl_ctx):
        pass


class HearsOne(FLComponent):
    def __init__(self):
        super().__init__()
        self.register_event_handler(EventType.START_RUN, lambda event, fl_ctx: None)


class Inherits(Hears):
    pass


def test_who_does_something_at_some_event_hears_all_of_them():
    components = [Deaf(), Hears(), HearsOne(), Deaf(), Inherits()]
    assert hearing(components) == [components[1], components[2], components[4]]


@pytest.fixture
def left_out():
    lean.leave_out()


def test_a_debug_line_is_written_where_a_log_takes_it(left_out, caplog):
    component = Deaf()
    with caplog.at_level(logging.INFO):
        component.log_debug(FLContext(), "nobody sees this")
    with caplog.at_level(logging.DEBUG):
        component.log_debug(FLContext(), "somebody sees this")
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["somebody sees this"]


def test_filters_get_a_message_as_it_is(left_out):
    class Filter:
        def process(self, message, fl_ctx):
            return {**message, "seen": True}

    found = task_utils.apply_filters("none", {"a": 1}, FLContext(), {"train/out": [Filter()]}, "train", "out")
    assert found == {"a": 1, "seen": True}
