"""Tells what a bucket holds below a prefix: a JSON line per object with its key,
media type and text.

usage: objects.py ENDPOINT BUCKET PREFIX
"""

import json
import sys

import boto3


def main():
    endpoint, bucket, prefix = sys.argv[1:]
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for found in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        read = client.get_object(Bucket=bucket, Key=found["Key"])
        told = {"key": found["Key"], "type": read["ContentType"], "text": read["Body"].read().decode()}
        print(json.dumps(told))


if __name__ == "__main__":
    main()
