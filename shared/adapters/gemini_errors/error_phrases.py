"""The sentences of providers that say what no code says. Only a provider's own words are searched. Pure."""

from __future__ import annotations

import re

from shared.core.values.late_pattern import late_pattern

_KEY = late_pattern(
    r"(api|auth)[ _-]?key (is |was )?(not valid|invalid|expired|not found|(reported as )?leaked)"
    r"|(api|auth)[ _-]?key (is|was|has been) (revoked|disabled|deleted|deactivated|blocked|suspended)"
    r"|(invalid|incorrect|expired|unknown|revoked|disabled) (api|auth)[ _-]?key",
    re.I,
)
_NO_BILLING = late_pattern(
    r"(enable|set up|activate) (a )?billing|billing must be enabled|\blink (a |your )?billing account\b"
    r"|\bbilling account\b.{0,40}\bnot found\b|billing (is |has )?(not (been )?|dis)(enabled|abled)?|requires? billing"
    r"|\bonly (available|accessible|open|offered)? ?(to|for|on) (the )?(paid|billed|paying|tier [1-9])\b"
    r"|\b(requires?|needs?) (a |the )?(paid|billed) (tier|plan|account|project)\b|\boverdue\b",
    re.I,
)
_REGION = late_pattern(
    r"\b(location|country|region|territory|territories|ip address)\b.{0,40}"
    r"\b(is|are)? ?(not|n't|un)[ -]?(currently )?(support|available|allow|permit|eligible)"
    r"|\bnot (currently )?(supported|available|allowed) (in|from|for) (your|this|the|user'?s?) "
    r"(current )?(country|region|location|territory|geograph)"
    r"|\bunsupported (country|region|location|territory)",
    re.I,
)
_VERSION = late_pattern(
    r"\b(schema|api[ _-]?version|api[ _-]?revision|sdk|client version|legacy (api|interactions?)|version of the api)\b"
    r".{0,100}\b(no longer|not any ?more|deprecated|retired|sunset|removed|shut ?down|discontinued|too old|outdated"
    r"|unsupported|not supported)"
    r"|\b(no longer|not any ?more|stopped) (supports?|supporting|accepts?|accepting)\b.{0,60}"
    r"\b(schema|api[ _-]?version|revision|sdk|legacy|client)\b",
    re.I,
)
_DENIED = late_pattern(
    r"\bdenied access\b"
    r"|\b(project|consumer|account|organi[sz]ation|api[ _-]?key|credential|user|billing account)\b.{0,80}"
    r"\b(ha(s|ve) been|is|was|were|are) (temporarily |permanently |currently )?"
    r"(suspended|disabled|deactivated|blocked|restricted|banned|deleted|closed|terminated|locked)"
    r"|\bapi has not been (used|enabled)\b|\bapi\b.{0,60}\b(is|was) (disabled|not enabled)\b"
    r"|\brequests to this api\b.{0,160}\bare blocked\b"
    r"|\bterms (of (service|use)|and conditions)\b.{0,60}\b(accept|agree)|\b(accept|agree)\w*\b.{0,40}\bterms\b",
    re.I,
)
_REFUSED = late_pattern(
    r"\b(input|prompt|content|request|message|image)s?\b.{0,60}\b(was|were|been|is|are|got) flagged\b"
    r"|\bflagged (as|for|by)\b|\bour safety system\b|\brequires moderation\b"
    r"|\bmoderation (system|filter|polic)"
    r"|\bcontent[ _]?policy|\bcontentpolicy|\bviolat\w+\b.{0,60}\b(content|usage|safety|use)( \w+)? polic"
    r"|\bblocked by (our|the|a)? ?(content|safety|moderation)"
    r"|\bcontent (management|filter)\w* polic"
    r"|\bviolat\w+\b.{0,60}\b(guardrail|moderation|responsible ai|(usage|safety|community) (guideline|polic|standard))"
    r"|\bguardrails? (\w+ )?(polic|violat|block|interven)"
    r"|\bcontains? (sensitive|prohibited|forbidden) (words?|content)\b"
    r"|\b(was|were|been|got) (blocked|filtered( out)?|rejected)\b.{0,60}\b(safety|moderation|sensitive)\b"
    r"|\bviolat\w+\b.{0,20}\bmoderation"
    r"|违反.{0,10}(政策|规定|准则)|(内容|安全)审核|敏感(词|内容)|违规(内容|词)?|内容安全",
    re.I,
)
_REFUSAL_NAME = late_pattern(
    r"\b(PROHIBITED_CONTENT|IMAGE_PROHIBITED_CONTENT|IMAGE_SAFETY|IMAGE_RECITATION|BLOCKLIST|SPII"
    r"|content_policy_violation|moderation_blocked)\b"
)
"""Google's and OpenAI's own words for a refusal, as relays quote them in errors of any status."""
_PICTURE = late_pattern(
    r"\b(process|read|decode|open|parse|load) (the |an? |your )?"
    r"(input |provided |uploaded |given |reference )?images?\b"
    r"|\b(provided|input|uploaded|reference|given) (image|picture)s?\b.{0,30}"
    r"\b(not|in)[ -]?(valid|supported|readable)"
    r"|\binvalid (input |base64 )?image( data)?\b(?! ?(size|config))"
    r"|\bunsupported (image|picture|mime)[ _-]?(format|type)?\b(?! ?(size|config))"
    r"|\b(image|picture) (format|type|mime[ _-]?type)\b.{0,40}\b(not|un|in)[ -]?(supported|valid|recognized)"
    r"|\bmime[ _-]?type\b.{0,40}\b(not|un)[ -]?(supported|allowed)"
    r"|\b(image|picture|file)s?('s)? (dimensions? |resolution |size )?"
    r"(is|are) (too (large|big|small)|corrupt\w*|empty|broken)"
    r"|\b(fetch|retrieve|download|access)\w*\b.{0,40}\b(from |the )(provided |given )*(ur[il]|image|file)\b",
    re.I,
)
_TOO_LARGE = late_pattern(
    r"\bpayload size\b|\brequest (entity |body |payload )?(is |was )?too large\b"
    r"|\b(request|payload|body|content)[ _]size\b"
    r".{0,40}\b(exceed|limit|large|maximum)|\bpayload too large\b",
    re.I,
)
_UPSTREAM_SILENT = late_pattern(
    r"\bstatus[ _]code[ :=]*(408|499|504|52[0246]|59[89])\b"
    r"|context deadline exceeded|deadline[ _]exceeded|\btime[d ]?[ -]?outs?\b|\bdo_request_failed\b|client\.timeout",
    re.I,
)
_TIER = late_pattern(r"\b(service[ _-]?tiers?|flex|priority)\b", re.I)
_NOT_HAD = late_pattern(
    r"(\bnot|n't)( yet| currently)? (support|available|allowed|enabled|offered)|\bunsupported|\bunavailable"
    r"|\binvalid value|\bunknown (name|field|parameter)",
    re.I,
)
_SENTENCE_END = late_pattern(r"(?<=[.;!])\s+")


def is_of_key(words: str) -> bool:
    return bool(_KEY().search(words))


def is_of_billing(words: str) -> bool:
    return bool(_NO_BILLING().search(words))


def is_of_project(words: str) -> bool:
    """About the region, the version of the API, or a project or an account that may not call: no change of the request
    helps."""
    return any(pattern().search(words) for pattern in (_REGION, _VERSION, _DENIED))


def is_refusal(words: str) -> bool:
    """Not about an account that is closed for what it did before."""
    return names_refusal(words) or bool(_REFUSED().search(words) and not is_of_closed_account(words))


def is_of_closed_account(words: str) -> bool:
    return bool(_DENIED().search(words))


def names_refusal(words: str) -> bool:
    """The provider's own term, so it counts with any status."""
    return bool(_REFUSAL_NAME().search(words))


def is_of_picture(words: str) -> bool:
    """About a reference, or the size of all."""
    return bool(_PICTURE().search(words) or is_too_large(words))


def is_too_large(words: str) -> bool:
    return bool(_TOO_LARGE().search(words))


def is_upstream_timeout(words: str) -> bool:
    """An upstream of the answering server did not answer in time."""
    return bool(_UPSTREAM_SILENT().search(words))


def lacks_tier(words: str) -> bool:
    """One sentence says that the model does not have a service tier."""
    return any(_TIER().search(item) and _NOT_HAD().search(item) for item in _SENTENCE_END().split(words))
