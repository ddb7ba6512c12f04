"""What must hold in the records at every moment, recounted from the jobs themselves."""

from __future__ import annotations

from collections import Counter

import redis


def check_records(raw: redis.Redis) -> None:
    """Assert that every counter and list agrees with the jobs. `raw` decodes responses."""
    waiting: Counter[str] = Counter()
    running: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    pending_bytes: Counter[str] = Counter()
    listed: set[tuple[str, str, str, str]] = set()
    due: set[str] = set()
    for key in raw.scan_iter("job:*", _type="hash"):
        if key.endswith(":pages"):
            continue
        request_id = key.removeprefix("job:")
        job = raw.hgetall(key)
        tenant, lane = job["tenant"], job.get("lane", "bulk")
        for who in ("*", tenant):
            pending[who] += int(job.get("owed", 0))
            pending_bytes[who] += int(job.get("owed_bytes", 0))
        avail = int(job.get("avail", 0))
        assert (job.get("listed") == "1") == (avail > 0), (request_id, job)
        if avail:
            waiting[job["pool"]] += avail
            listed.add((job["pool"], lane, tenant, request_id))
        again = raw.lrange(f"{key}:again", 0, -1)
        lent = raw.lrange(f"{key}:lent", 0, -1)
        if lent:
            waiting[job["lent"]] += len(lent)
            listed.add((job["lent"], lane, tenant, request_id))
        states_of_lent = [raw.hget(f"{key}:pages", page) for page in lent]
        assert all(state and state[0] == "w" for state in states_of_lent), (request_id, lent)
        for step, state in raw.hgetall(f"{key}:pages").items():
            pool = {"prepare": "prepare", "finish": "finish", "erase": "finish"}.get(step)
            if state[0] == "a" and pool:
                waiting[pool] += 1
                listed.add((pool, lane, tenant, request_id))
            elif state[0] == "a":
                assert step in again, (request_id, step)
            elif state[0] == "r":
                running[pool or job["pool"]] += 1
                running[f"{pool or job['pool']}/{tenant}"] += 1
            if state[0] in "rw":
                due.add(f"{request_id}/{step}")
        if "total" in job and job.get("state") == "processing":
            states = [s for step, s in raw.hgetall(f"{key}:pages").items() if step.isdigit()]
            done, failed = (sum(s[0] == kind for s in states) for kind in "df")
            assert (int(job["done"]), int(job["failed"])) == (done, failed), (request_id, job)
    _same("casola:waiting", raw, waiting)
    _same("casola:running", raw, running)
    _same("casola:pending", raw, pending)
    _same("casola:pending_bytes", raw, pending_bytes)
    assert set(raw.zrange("casola:due", 0, -1)) == due
    assert _lists(raw) == listed


def _same(key: str, raw: redis.Redis, expected: Counter[str]) -> None:
    found = {name: int(value) for name, value in raw.hgetall(key).items()}
    assert {k: v for k, v in found.items() if v} == {k: v for k, v in expected.items() if v}, key


def _lists(raw: redis.Redis) -> set[tuple[str, str, str, str]]:
    found = set()
    for key in raw.scan_iter("wait:*"):
        _, pool, lane, *tenant = key.split(":")
        members = raw.lrange(key, 0, -1)
        assert len(members) == len(set(members)), (key, members)
        if tenant:
            found |= {(pool, lane, tenant[0], request_id) for request_id in members}
            assert tenant[0] in raw.lrange(f"wait:{pool}:{lane}", 0, -1), key
        else:
            assert all(raw.exists(f"{key}:{name}") for name in members), key
    return found
