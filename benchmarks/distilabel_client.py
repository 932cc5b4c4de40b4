"""distilabel's client of an OpenAI-style server, run by llm_calls.py in an environment of its own.

    pip install distilabel openai requests

Reads lines of JSON, `{"texts": [...], "settings": {...}}`, and answers each with the list of what the server wrote. As in a
distilabel step, texts are asked for in batches, which end before the next one begins.
"""

import json
import sys

from distilabel.models.llms import OpenAILLM


def main() -> None:
    """Answer until standard input ends."""
    url, batch = sys.argv[1], int(sys.argv[2])
    llm = OpenAILLM(model="m", base_url=f"{url}/v1", api_key="none", timeout=120)
    llm.load()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        texts: list[str] = asked["texts"]
        written: list[str] = []
        for start in range(0, len(texts), batch):
            found = llm.generate(inputs=texts[start : start + batch], **asked["settings"])
            written += [answer["generations"][0] for answer in found]
        sys.stdout.write(json.dumps(written) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
