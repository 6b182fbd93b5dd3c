"""Send events to Watertight: in batches, and again until they are answered for."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone

URL, KEY = os.environ["URL"], os.environ["KEY"]


def send(events):
    """Send up to 10,000 events; returns the answer. Sending them again is always safe."""
    request = urllib.request.Request(
        f"{URL}/events",
        data=json.dumps(events).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/cloudevents-batch+json"},
    )
    for attempt in range(10):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code not in (429, 500, 502, 503, 504):
                raise RuntimeError(f"{refused.code}: {refused.read().decode()}") from refused
            time.sleep(float(refused.headers.get("Retry-After", 2**attempt)))
        except OSError:  # no answer: it may be stored or not, so send the same again
            time.sleep(2**attempt)
    raise RuntimeError("No answer; keep these events and send them later.")


if __name__ == "__main__":
    answer = send(
        [
            {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),  # better: the id that your request, job or row has anyway
                "source": "gateway",
                "type": "text.translated",
                "subject": "globex",
                "time": datetime.now(timezone.utc).isoformat(),
                "data": {"words": 1250, "language": "de"},
            }
        ]
    )
    print(answer["accepted"], "accepted;", answer["results"] or "nothing held back")
