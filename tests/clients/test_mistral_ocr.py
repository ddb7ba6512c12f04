"""OCR by Mistral's own clients, Python and JavaScript, and by LiteLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

from tests.clients.conftest import WebServer, data_url
from tests.clients.node import passed, run_node
from tests.running import RunningService

pytestmark = pytest.mark.e2e

MODEL = "mistral-ocr-latest"


@pytest.fixture
def client(service: RunningService) -> Iterator[Mistral]:
    with Mistral(server_url=f"{service.url}/mistral", api_key="none") as made:
        yield made


def test_chosen_pages_of_a_pdf_keep_their_index(client: Mistral, three_pages: bytes) -> None:
    pdf = data_url(three_pages, "application/pdf")
    document = {"type": "document_url", "document_url": pdf, "document_name": "three.pdf"}
    answer = client.ocr.process(model=MODEL, document=document, pages="0,2-3")
    assert [page.index for page in answer.pages] == [0, 2]
    assert ("Alpha" in answer.pages[0].markdown, "Charlie" in answer.pages[1].markdown) == (
        True,
        True,
    )
    assert answer.usage_info.pages_processed == 2
    assert answer.usage_info.doc_size_bytes == len(three_pages)
    answer = client.ocr.process(model=MODEL, document=document, pages=[1])
    assert [page.index for page in answer.pages] == [1]
    assert "Bravo" in answer.pages[0].markdown


def test_an_image_is_a_string_or_an_object_or_on_the_web(
    client: Mistral, hello: bytes, web: WebServer
) -> None:
    url = data_url(hello)
    for image in (url, {"url": url}, web.put("hello.png", hello)):
        answer = client.ocr.process(model=MODEL, document={"type": "image_url", "image_url": image})
        assert "Hello client" in answer.pages[0].markdown
        dimensions = answer.pages[0].dimensions
        assert dimensions
        assert (dimensions.width, dimensions.dpi > 0) == (620, True)


def test_an_uploaded_file_is_read_by_its_id_and_by_its_signed_url(
    client: Mistral, hello: bytes
) -> None:
    made = client.files.upload(file={"file_name": "a.png", "content": hello}, purpose="ocr")
    by_id = client.ocr.process(model=MODEL, document={"type": "file", "file_id": made.id})
    url = client.files.get_signed_url(file_id=made.id).url
    by_url = client.ocr.process(model=MODEL, document={"type": "document_url", "document_url": url})
    assert by_id.pages[0].markdown == by_url.pages[0].markdown
    assert "Hello client" in by_id.pages[0].markdown


def test_blocks_and_confidences_are_what_the_client_knows(client: Mistral, hello: bytes) -> None:
    document = {"type": "image_url", "image_url": data_url(hello)}
    answer = client.ocr.process(
        model=MODEL,
        document=document,
        include_image_base64=True,
        table_format="html",
        confidence_scores_granularity="word",
        extract_header=True,
    )
    page = answer.pages[0]
    assert page.blocks
    assert {block.type for block in page.blocks} == {"text"}
    scores = page.confidence_scores
    assert scores
    assert 0 < scores.minimum_page_confidence_score <= scores.average_page_confidence_score <= 1
    for word in scores.word_confidence_scores or []:
        assert page.markdown[word.start_index :].startswith(word.text)
    assert [word.text for word in scores.word_confidence_scores or []] == ["Hello", "client"]
    assert (page.images, page.tables, page.header) == ([], [], None)


def test_what_is_wrong_raises_the_right_exception(client: Mistral, hello: bytes) -> None:
    document = {"type": "image_url", "image_url": data_url(hello)}
    with pytest.raises(HTTPValidationError) as pages:
        client.ocr.process(model=MODEL, document=document, pages="5-1")
    assert pages.value.data.detail
    assert pages.value.data.detail[0].loc == ["body", "pages"]
    schema = {"name": "a", "schema": {"type": "object"}}
    with pytest.raises(HTTPValidationError) as annotated:
        client.ocr.process(
            model=MODEL,
            document=document,
            document_annotation_format={"type": "json_schema", "json_schema": schema},
        )
    assert "needs a model that fills in a schema" in annotated.value.body
    with pytest.raises(HTTPValidationError) as missing:
        client.ocr.process(model=MODEL, document=document, pages=[9])
    assert missing.value.data.detail
    assert missing.value.data.detail[0].loc == ["body", "pages"]
    with pytest.raises(SDKError) as unknown:
        client.ocr.process(model="no-such-model", document=document)
    assert json.loads(unknown.value.body)["type"] == "invalid_model"
    with pytest.raises(SDKError) as file:
        client.ocr.process(model=MODEL, document={"type": "file", "file_id": "file-unknown"})
    assert file.value.status_code == 404


async def _process(url: str, image: str) -> str:
    async with Mistral(server_url=f"{url}/mistral", api_key="none") as client:
        answer = await client.ocr.process_async(
            model=MODEL, document={"type": "image_url", "image_url": image}
        )
    return answer.pages[0].markdown


def test_the_asynchronous_client_reads(service: RunningService, hello: bytes) -> None:
    assert "Hello client" in asyncio.run(_process(service.url, data_url(hello)))


def test_the_javascript_client_reads(
    service: RunningService, hello: bytes, three_pages: bytes
) -> None:
    env = {
        "SERVER_URL": f"{service.url}/mistral",
        "IMAGE": data_url(hello),
        "PDF": data_url(three_pages, "application/pdf"),
    }
    passed(run_node("mistral.test.mjs", env))


def test_litellm_reads(
    service: RunningService, hello: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its table of prices is on the web.
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    for base in (f"{service.url}/mistral/v1", f"{service.url}/mistral"):
        answer = litellm.ocr(
            model=f"mistral/{MODEL}",
            document={"type": "image_url", "image_url": data_url(hello)},
            api_base=base,
            api_key="none",
        )
        assert "Hello client" in answer.pages[0].markdown
