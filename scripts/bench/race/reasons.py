"""Why Renderlane is behind a peer in a figure: one sentence for each, which the tables of a race show."""

from __future__ import annotations

from collections.abc import Mapping

NO_REASON = "no reason is known yet."
REASONS: Mapping[tuple[str, str], str] = {
    ("", "makespan"): (
        "a window takes 60.5 s instead of 60, because a call may reach the provider half a second after its slot, "
        "and slots that a busy machine misses are given back."
    ),
    ("", "goodput"): (
        "who calls again until a call is accepted fills every window, at the price of the 429s; Renderlane's "
        "window takes 60.5 s, and slots that a busy machine misses are given back."
    ),
    ("saturation", "rejected"): (
        "a call that a busy machine delays by more than half a second reaches a window that is still full; "
        "LiteLLM stays below the limit, and leaves half of it unused."
    ),
    ("burst", "rejected"): (
        "a call that a busy machine delays by more than half a second reaches a window that is still full."
    ),
    ("halves", "rejected"): (
        "a lower limit shows only in rejections, and all calls of the new window were on their way; LiteLLM "
        "starts fewer at once, because its callers wait for random times."
    ),
    ("halves", "makespan"): (
        "after the first 429 the model is closed for the delay that it names, so that the rest of its window "
        "stays unused; callers that try again use it, at the price of the 429s."
    ),
    ("outage", "sick_calls"): (
        "the breaker needs failures of several requests before it speaks for all, and each probe of the model is "
        "a call; LiteLLM's cooldown is ended by time alone."
    ),
    ("", "p50"): ("starts are granted by the pump, about once a second; the peers call at once."),
    ("", "worst"): (
        "a request whose call failed waits before its next attempt, and for the pump; the peers call the fallback "
        "at once."
    ),
    ("kill", "makespan"): (
        "the restarted worker opens its store, and collects the calls that were under way instead of buying them "
        "again; the peers buy them again at once."
    ),
    ("poison", "worst"): (
        "starts are granted by the pump, about once a second, and the concurrency of a model with unknown limits "
        "grows from 20."
    ),
    ("outage", "primary"): (
        "callers without a breaker use the primary model in the second in which it is well, at the price of sick "
        "calls for each request of the outage; a breaker's probe, and a cooldown, end some seconds after the outage."
    ),
    ("interactive", "interactive_p50"): (
        "Procrastinate keeps a fifth of the limit idle for these jobs and calls at once; Renderlane grants starts "
        "about once a second."
    ),
    ("interactive", "interactive_p99"): (
        "Procrastinate keeps a fifth of the limit idle for these jobs and calls at once; Renderlane grants starts "
        "about once a second."
    ),
    ("", "cpu"): (
        "each render is on record before and after its call, with receipt and ledger; google-genai alone takes "
        "about 20 ms, and LiteLLM does without it."
    ),
    ("", "memory"): ("the console, the store and the courier are in the same process."),
    ("", "cold_start"): (
        "the worker opens its store, its topics and its console before it takes a request, and starts are granted "
        "about once a second; a handler opens nothing."
    ),
}
"""By scene and figure; an empty scene stands for all scenes."""
