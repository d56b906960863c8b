"""Whatever is added, removed, moved and enlarged, every sequence keeps its keys and values."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.inference.native.memory import CacheMemory, capacity_for, row_bytes
from olmoflow.inference.native.placement import Placement
from olmoflow.inference.native.seats import Seats
from olmoflow.model import Olmo3Config

CONFIG = Olmo3Config(
    vocab_size=8,
    d_model=4,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=8,
    sliding_window=70,
    max_sequence_length=400,
)
SEATS = 6


def mark(placement, seat, value):
    slab = placement.slab_of(seat)
    for layer in slab.layers:
        layer[:, placement.seats.row[seat]] = value


def assert_holds(placement, seat, value):
    slab = placement.slab_of(seat)
    assert slab.owners[placement.seats.row[seat]] == seat
    for layer in slab.layers:
        # What was copied from a smaller row; the rest of a larger one is new.
        assert (layer[:, placement.seats.row[seat], :, :64] == value).all()


actions = st.lists(
    st.tuples(
        st.sampled_from(["place", "release", "enlarge", "arrange"]),
        st.integers(0, SEATS - 1),
        st.integers(1, 300),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(actions=actions, budget=st.integers(1, 8))
def test_rows_keep_what_they_hold_within_the_budget(actions, budget):
    budget *= row_bytes(CONFIG, 128, torch.float32)
    memory = CacheMemory(CONFIG, 400, budget, torch.device("cpu"), torch.float32)
    placement = Placement(memory, Seats(SEATS, 8))
    held, values = {}, iter(range(1, 1000))
    for action, seat, length in actions:
        if action == "place" and seat not in held and placement.place(seat, length):
            held[seat] = next(values)
            mark(placement, seat, held[seat])
        elif action == "release" and seat in held:
            placement.release([seat])
            del held[seat]
        elif action == "enlarge" and seat in held and placement.seats.capacity[seat] < 400:
            before = placement.seats.capacity[seat]
            if placement.enlarge([seat]):
                assert placement.seats.capacity[seat] > before
        elif action == "arrange":
            ready = torch.tensor([s for s in held if s <= seat], dtype=torch.int64).numpy()
            parts, order = placement.arrange(ready)
            assert sorted(order) == sorted(ready)
            for part in parts:
                front = order[part.first : part.first + part.count]
                assert part.slab.owners[: part.count] == front.tolist()
        assert memory.used <= budget
        for each, value in held.items():
            assert_holds(placement, each, value)
    assert sorted(o for slab in memory.slabs.values() for o in slab.owners) == sorted(held)


def test_capacities_are_close_to_what_is_needed():
    for length in range(1, 5000):
        capacity = capacity_for(length, 5000)
        assert length <= capacity <= max(64, length * 1.5)
    assert capacity_for(4999, 5000) == 5000
    assert capacity_for(10, 20) == 20


def test_window_layers_hold_no_more_than_their_window():
    memory = CacheMemory(CONFIG, 400, 10**9, torch.device("cpu"), torch.float32)
    assert memory.slab(64).slots == [64, 64, 64, 64]
    assert memory.slab(256).slots == [70, 70, 70, 256]
