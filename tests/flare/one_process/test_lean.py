"""What a federation in one process leaves out of FLARE's work, and that nothing is lost by it."""

import logging

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils import task_utils
from nvflare.apis.utils.event import fire_event_to_components
from nvflare.apis.utils.fl_context_utils import gen_new_peer_ctx
from nvflare.private.event import fire_event

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


class Notes(FLComponent):
    """Writes down what it sees of an event; fires another one at it, changes what the next one sees, or fails."""

    def __init__(self, notes, inner=None, fails=False):
        super().__init__()
        self.notes, self.inner, self.fails = notes, inner, fails

    def handle_event(self, event_type, fl_ctx):
        keys = (FLContextKey.EVENT_ORIGIN, FLContextKey.EVENT_SCOPE, FLContextKey.EVENT_DATA)
        self.notes.append((event_type, *(fl_ctx.get_prop(key) for key in keys), fl_ctx.get_prop("set before")))
        fl_ctx.set_prop("set before", len(self.notes), private=True, sticky=False)
        if self.inner and event_type == "outer":
            fl_ctx.set_prop(FLContextKey.EVENT_ORIGIN, "inside", private=True, sticky=False)
            fl_ctx.set_prop(FLContextKey.EVENT_DATA, "of the inner one", private=True, sticky=False)
            self.inner(fl_ctx)
        if self.fails:
            raise ValueError("this one fails")


@pytest.mark.parametrize("lean_one", [False, True])
def test_every_component_sees_of_an_event_what_it_sees_without_what_is_left_out(left_out, lean_one):
    notes, heard = [], []
    fire = fire_event if lean_one else fire_event_to_components
    table = HearsOne()
    table.register_event_handler("outer", lambda event, fl_ctx: heard.append(fl_ctx.get_prop("set before")))
    components = [Notes(notes), Deaf(), Notes(notes, fails=True), table, Notes(notes)]
    components.insert(1, Notes(notes, inner=lambda fl_ctx: fire("inner", components, fl_ctx)))
    ctx = FLContext()
    ctx.set_prop(FLContextKey.EVENT_ORIGIN, "outside", private=True, sticky=False)
    ctx.set_prop(FLContextKey.EVENT_DATA, "of the outer one", private=True, sticky=False)
    fire("outer", components, ctx)
    seen = [(event, origin, data) for event, origin, _, data, _ in notes]
    outer, inner = ("outer", "outside", "of the outer one"), ("inner", "inside", "of the inner one")
    assert seen == [outer, outer, *4 * [inner], *2 * [outer]]
    assert [before for *_, before in notes] == [None, *range(1, 8)]
    assert heard == [7]
    assert isinstance(ctx.get_prop(FLContextKey.EXCEPTIONS)["Notes"], ValueError)


def test_a_property_that_does_not_change_keeps_its_rules(left_out):
    ctx, value = FLContext(), object()
    assert ctx.set_prop("one", value, private=True, sticky=False)
    assert ctx.set_prop("one", value, private=True, sticky=False)
    assert not ctx.set_prop("one", value, private=True, sticky=True)  # FLARE lets no property change its kind
    assert ctx.set_prop("one", "another", private=True, sticky=False)
    assert ctx.get_prop("one") == "another"


def test_the_other_side_sees_what_it_sees_over_a_network():
    ctx = FLContext()
    ctx.set_prop(ReservedKey.IDENTITY_NAME, "site-1", private=False, sticky=False)
    ctx.set_prop("said", {"a": 1}, private=False, sticky=False)
    ctx.set_prop("own", "private", private=True, sticky=False)
    ctx.put(FLContextKey.SHAREABLE, "what stays here", private=False, sticky=False)
    assert lean.as_peer(ctx).props == gen_new_peer_ctx(ctx).props
