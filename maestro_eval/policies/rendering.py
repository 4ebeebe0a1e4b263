"""Ask a server what it would feed its model: vLLM's ``/tokenize`` renders messages, ``/detokenize`` shows the text.

Both are outside the OpenAI API, beside ``/v1``. A server without them cannot be asked.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

_TIMEOUT_S = 30.0
_LONGEST_REPLY = 16 << 20
# A picture has as many placeholders as tokens in one server's reply and one in another's.
_PICTURES = re.compile(r"(<\|image_pad\|>)+")


def rendered_by(address: str, model: str, messages: Sequence[Mapping[str, Any]], key: str = "") -> str | None:
    """The text that the server at ``address`` (ending in ``/v1``) makes of ``messages``, its control tokens spelt out.

    ``None`` where the server cannot be asked, or refuses.
    """
    root = address.removesuffix("/v1")
    # Nothing behind the last message but what the template itself writes.
    asked = {"model": model, "messages": list(messages), "add_generation_prompt": True, "add_special_tokens": False}
    tokens = _post(f"{root}/tokenize", asked, key).get("tokens")
    if not isinstance(tokens, list):
        return None
    text = _post(f"{root}/detokenize", {"model": model, "tokens": tokens}, key).get("prompt")
    return _PICTURES.sub(r"\1", text) if isinstance(text, str) else None


def _post(url: str, body: Mapping[str, Any], key: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    # As in the preflight: addresses are the user's own, and a proxy would answer for a dead server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            said = json.loads(response.read(_LONGEST_REPLY))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
