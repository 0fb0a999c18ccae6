"""A server of the kind that the bench compares with: FastAPI on uvicorn, which answers with lists that it holds as Python objects, as a handler has them from its database.
$PEER_ANSWERS is a JSON file: path -> answer."""
import json
import os

from fastapi import FastAPI

answers = json.load(open(os.environ["PEER_ANSWERS"]))
app = FastAPI()


@app.get("/api/nodes")
async def nodes():
    return answers["/api/nodes"]


@app.get("/api/tasks")
async def tasks(limit: int = 100):
    return answers["/api/tasks"][:limit]
