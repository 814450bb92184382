"""S3: the contract on moto and on SeaweedFS, options, and what a service may answer."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.errors import StorageError, UnsafeStoreError, UsageError
from lake.store.location import Location, resolve
from lake.store.location.s3_options import options
from tests.s3_servers import S3Service, free_port
from tests.store.bad_store import bad_store
from tests.store.location_contract import LocationContract


class TestMoto(LocationContract):
    @pytest.fixture
    def place(self, moto: S3Service) -> Location:
        return resolve(f"s3://{moto.new_bucket()}/some/lake/", moto.options)

    def test_more_files_than_one_listing_or_one_deletion_holds(self, place: Location, moto: S3Service) -> None:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        bucket = place.uri.split("/")[2]
        for number in range(1005):  # straight into the service: the promise is about listing and deleting
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, f"some/lake/log/{number}", b"1")
        assert len(list(place.list("log"))) == 1005
        assert len(list(place.list_names("log"))) == 1005
        place.delete([f"log/{number}" for number in range(1005)])
        assert list(place.list("")) == []

    def test_duckdb_asks_for_the_size_of_a_data_file_once(
        self, place: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with place.open_output("t/x.parquet") as out:
            pq.write_table(pa.table({"x": [1, 2, 3]}), out)
        asked: list[str] = []
        real = place.filesystem._call_s3

        async def call(method: str, *args: object, **options: object) -> object:
            asked.append(method)
            return await real(method, *args, **options)

        monkeypatch.setattr(place.filesystem, "_call_s3", call)
        connection = duckdb.connect()
        connection.register_filesystem(place.filesystem)
        for _ in range(3):
            found = connection.execute("SELECT sum(x) FROM read_parquet(?)", [[place.url("t/x.parquet")]]).fetchall()
            assert found == [(6,)]
        assert asked.count("head_object") == 1


class TestSeaweed(LocationContract):
    @pytest.fixture
    def place(self, seaweed: S3Service) -> Location:
        return resolve(f"s3://{seaweed.new_bucket()}/lake", seaweed.options)

    def test_a_wrong_secret_is_said_so(self, seaweed: S3Service) -> None:
        bucket = seaweed.new_bucket()
        place = resolve(f"s3://{bucket}/lake", {**seaweed.options, "AWS_SECRET_ACCESS_KEY": "wrong"})
        for call in (lambda: place.read_or_none("x"), lambda: place.exists("x"), place.check_writable):
            with pytest.raises(StorageError, match="the secret does not fit|access denied"):
                call()

    def test_an_unknown_key_is_said_so(self, seaweed: S3Service) -> None:
        bucket = seaweed.new_bucket()
        place = resolve(f"s3://{bucket}/lake", {**seaweed.options, "AWS_ACCESS_KEY_ID": "nobody"})
        with pytest.raises(StorageError, match="the access key is not known there. Check AWS_ACCESS_KEY_ID"):
            place.check_writable()

    def test_a_missing_bucket_is_said_so_and_not_made(self, seaweed: S3Service) -> None:
        place = resolve("s3://nosuchbucket/lake", seaweed.options)
        for call in (lambda: place.read_or_none("x"), lambda: list(place.list("")), lambda: place.exists("x")):
            with pytest.raises(StorageError, match="there is no such bucket"):
                call()


class TestFailures:
    def test_a_missing_bucket_is_said_so(self, moto: S3Service) -> None:
        place = resolve("s3://nosuchbucket/lake", moto.options)
        calls = (
            lambda: place.read_or_none("x"),
            lambda: place.exists("x"),
            lambda: list(place.list("")),
            lambda: place.create("x", b""),
            lambda: place.delete(["x"]),
            place.check_writable,
        )
        for call in calls:
            with pytest.raises(StorageError, match="there is no such bucket"):
                call()

    def test_a_service_that_does_not_answer_is_named(self) -> None:
        endpoint = f"http://127.0.0.1:{free_port()}"
        place = resolve("s3://b/lake", {"endpoint_url": endpoint, "access_key_id": "a", "secret_access_key": "b"})
        with pytest.raises(StorageError, match=f"cannot be reached.*{endpoint}.*AWS_ENDPOINT_URL"):
            place.read("x")

    def test_no_credentials_at_all_are_said_so(self, moto: S3Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/nowhere")
        place = resolve("s3://b/lake", {"AWS_ENDPOINT_URL": moto.endpoint})
        with pytest.raises(StorageError, match="no credentials were found. Set AWS_ACCESS_KEY_ID"):
            place.read("x")

    def test_a_service_that_ignores_conditional_writes_is_refused_by_name(self) -> None:
        with bad_store() as (service, stored):
            place = resolve("s3://bucket/lake", service.options)
            with pytest.raises(UnsafeStoreError, match="If-None-Match.*several writers would lose commits") as refused:
                place.probe_conditional_put()
            assert refused.value.value == service.endpoint
            assert stored == {}


class TestOptions:
    def test_names_may_be_in_any_case_and_without_their_prefix(self) -> None:
        given = {"aws_access_key_id": "a", "SECRET_ACCESS_KEY": "b", "endpoint": "http://h:1", "Region": "eu"}
        assert options(given, {}).delta == {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_ENDPOINT_URL": "http://h:1",
            "AWS_REGION": "eu",
            "AWS_ALLOW_HTTP": "true",
        }

    def test_what_is_not_given_comes_from_the_environment(self) -> None:
        env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu", "AWS_PAGER": ""}
        assert options({"region": "us"}, env).delta == {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us",
        }

    def test_given_credentials_are_not_mixed_with_those_of_the_environment(self) -> None:
        env = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_SESSION_TOKEN": "z", "AWS_PROFILE": "p"}
        found = options({"access_key_id": "a", "secret_access_key": "b"}, env).delta
        assert found == {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    def test_an_unknown_option_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match="unknown storage option.*'acess_key'.*AWS_ACCESS_KEY_ID"):
            options({"acess_key": "a"}, {})

    def test_half_a_pair_of_credentials_is_refused(self) -> None:
        with pytest.raises(UsageError, match="come together"):
            options({"access_key_id": "a"}, {})

    def test_an_address_without_a_bucket_is_refused(self) -> None:
        with pytest.raises(UsageError, match="names no bucket"):
            resolve("s3:///lake", {})

    def test_a_prefix_that_climbs_is_refused(self) -> None:
        with pytest.raises(UsageError, match="relative"):
            resolve("s3://b/a/../../c", {})

    def test_a_bucket_alone_may_be_a_lake(self, moto: S3Service) -> None:
        bucket = moto.new_bucket()
        place = resolve(f"s3://{bucket}", moto.options)
        place.write("a/b", b"1")
        assert place.uri == f"s3://{bucket}"
        assert place.url("a/b") == f"s3://{bucket}/a/b"
        assert [e.path for e in place.list("a")] == ["a/b"]
        assert list(place.list_names("")) == ["a"]
