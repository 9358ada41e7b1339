from gateway.server.crew import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, SETTLED_S, Crew


def staffed(count: int = 2, slots: int = 8) -> Crew:
    """A crew whose workers are all ready; process ids are 100 + index."""
    crew = Crew(count, slots)
    hire(crew, 0.0)
    return crew


def hire(crew: Crew, now: float, pid: int = 100, ready: bool = True) -> None:
    for index, slot in crew.vacancies(now):
        crew.add(pid + index, index, slot, now).ready = ready


def leave(crew: Crew, now: float) -> list[int]:
    """Tell the dispensable to leave, and return their process ids."""
    told = crew.dispensable()
    for member in told:
        member.leaving = now
    return sorted(member.pid for member in told)


def test_every_index_gets_a_worker_in_the_slot_of_its_number():
    assert Crew(3, 8).vacancies(0.0) == [(0, 0), (1, 1), (2, 2)]


def test_a_dead_worker_leaves_its_index_and_slot_to_the_next():
    crew = staffed()
    crew.gone(101, 50.0)
    assert crew.vacancies(50.0) == [(1, 1)]


def test_workers_that_live_at_once_never_share_a_slot():
    crew = staffed()
    crew.renew()
    assert crew.vacancies(1.0) == [(0, 2), (1, 3)]


def test_nobody_leaves_before_every_successor_is_ready():
    crew = staffed()
    crew.renew()
    hire(crew, 1.0, pid=200, ready=False)
    crew.members[200].ready = True
    assert leave(crew, 1.0) == []
    crew.members[201].ready = True
    assert leave(crew, 1.0) == [100, 101]
    assert leave(crew, 2.0) == []


def test_an_old_worker_that_dies_while_it_is_succeeded_is_not_replaced():
    crew = staffed()
    crew.renew()
    hire(crew, 1.0, pid=200, ready=False)
    crew.gone(100, 2.0)
    assert crew.vacancies(2.0) == []


def test_a_renewal_that_is_given_up_keeps_the_old_and_lets_the_new_go():
    crew = staffed()
    crew.renew()
    hire(crew, 1.0, pid=200, ready=False)
    for member in crew.revert():
        member.leaving = 2.0
    assert crew.complete()
    assert crew.dispensable() == []
    crew.renew()
    assert [index for index, _ in crew.vacancies(3.0)] == [0, 1]


def test_waits_longer_after_each_death_at_boot_and_forgets_it_after_a_long_life():
    crew = Crew(1, 8)
    now, waits = 0.0, []
    for pid in range(12):
        hire(crew, now, pid=pid, ready=False)
        crew.gone(pid, now)
        waits.append(crew.wait(0, now))
        assert crew.vacancies(now) == []
        now += waits[-1]
    assert waits[:3] == [FIRST_BACKOFF_S, FIRST_BACKOFF_S * 2, FIRST_BACKOFF_S * 4]
    assert waits[-1] == LONGEST_BACKOFF_S
    hire(crew, now, pid=50)
    crew.gone(50, now + SETTLED_S)
    assert crew.wait(0, now + SETTLED_S) == 0.0


def test_waits_for_a_slot_when_too_many_are_still_leaving():
    crew = staffed(count=1, slots=2)
    for generation in (1, 2):
        crew.renew()
        hire(crew, 1.0, pid=200 + generation)
        leave(crew, 1.0)
    assert crew.vacancies(1.0) == []
    crew.gone(100, 2.0)
    assert crew.vacancies(2.0) == [(0, 0)]


def test_a_worn_worker_goes_on_until_its_successor_is_ready():
    crew = staffed()
    crew.members[100].worn = True
    assert crew.vacancies(1.0) == [(0, 2)]
    hire(crew, 1.0, pid=200, ready=False)
    assert leave(crew, 1.0) == []
    crew.members[200].ready = True
    assert leave(crew, 1.0) == [100]


def test_a_smaller_crew_lets_the_highest_index_go():
    crew = staffed(count=3)
    crew.count = 2
    assert leave(crew, 1.0) == [102]


def test_workers_of_the_program_before_leave_when_new_ones_are_ready():
    crew = Crew(2, 8)
    crew.adopt(10, 0, 0.0)
    crew.adopt(11, 1, 0.0)
    hire(crew, 0.0, ready=False)
    assert leave(crew, 0.0) == []
    for pid in (100, 101):
        crew.members[pid].ready = True
    assert leave(crew, 1.0) == [10, 11]
