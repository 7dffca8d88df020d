"""Opens an OpenAI Realtime session for each line of input, says the line to the model, and prints its answer.

pip install -r requirements.txt && echo 'What is a token?' | python3 consumer.py
"""

import json
import os
import sys
import time

from websockets.sync.client import connect

FILE = os.environ.get("REALTIME_TOKEN_FILE", "/var/run/realtime-token/token.json")
URL = os.environ.get("OPENAI_REALTIME_URL", "wss://api.openai.com/v1/realtime")


def realtime_token(patience=60):
    """The token as it is now. Call it for each session and keep no copy: the file changes when the token is renewed."""
    given_up = time.time() + patience
    while True:
        try:
            with open(FILE, encoding="utf-8") as file:
                token = json.load(file)
            if token["expiresAt"] / 1000 > time.time():
                return token
            trouble = f"the token in {FILE} has expired"
        except FileNotFoundError:  # the first token is still being issued
            trouble = f"no token in {FILE} yet"
        if time.time() > given_up:
            sys.exit(f"{trouble}: see kubectl describe rtt")
        print(trouble, file=sys.stderr, flush=True)
        time.sleep(1)


def ask(text):
    """One session: the token opens it, and may run out while it lasts."""
    token = realtime_token()
    headers = {"Authorization": f"Bearer {token['token']}"}
    with connect(f"{URL}?model={token['config']['model']}", additional_headers=headers) as session:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        session.send(json.dumps({"type": "conversation.item.create", "item": item}))
        session.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        for message in session:
            event = json.loads(message)
            if event["type"] == "error":
                raise RuntimeError(event["error"]["message"])
            if event["type"] == "response.output_text.done":
                return event["text"]
    raise RuntimeError("the session ended early")


for line in sys.stdin:
    print(ask(line.strip()), flush=True)
