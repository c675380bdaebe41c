from __future__ import annotations

from roost.supervisor.pulse import STEPS, silence_of


class Patient:
    """Answers as listed, and notes how long it was given."""

    def __init__(self, *answers: bool) -> None:
        self.remaining = list(answers)
        self.waits: list[float] = []
        self.rests: list[float] = []

    async def answers(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.remaining.pop(0)

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)


async def test_a_process_is_silent_once_it_left_every_ping_of_that_time_unanswered() -> None:
    patient = Patient(*[False] * STEPS)
    await silence_of(patient, 8.0, patient.sleep)
    assert sum(patient.waits) == 8.0
    assert patient.rests == []


async def test_one_late_answer_is_as_good_as_none_missed() -> None:
    late = [False] * (STEPS - 1) + [True]
    patient = Patient(*late, *late, *[False] * STEPS)
    await silence_of(patient, 8.0, patient.sleep)
    assert patient.remaining == []
    assert patient.rests == [2.0, 2.0]


async def test_a_supervisor_that_stood_still_gives_another_chance() -> None:
    patient = Patient(False, True, *[False] * STEPS)  # one wait ran out before anything could be read
    await silence_of(patient, 4.0, patient.sleep)
    assert patient.rests == [1.0]
