"""What larger tokens promise: the same text back, nothing learned from what is held out, and fewer tokens."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_transformers.training import Corpus, nats_per_byte, with_byte_pairs
from scaling_transformers.training.byte_pairs import decode, encode, vocabulary

TRAIN = ("def add(left, right):\n    return left + right\n\n# naïve 数学\n" * 40 + "x = 17\n" * 60).encode()
VALIDATION = b"def right(add):\n    return add\n" * 5


def corpus_of(train=TRAIN, validation=VALIDATION):
    parts = (np.frombuffer(part, dtype=np.uint8) for part in (train, validation))
    return Corpus(*parts, name="a text", sha256="")


@pytest.fixture(scope="module")
def pairs():
    return with_byte_pairs(corpus_of(), vocab_size=290)


def test_the_tokens_of_both_parts_are_fewer_and_say_the_same(pairs):
    for part, text in ((pairs.train, TRAIN), (pairs.validation, VALIDATION)):
        assert decode(part, tokenizer=pairs.tokenizer) == text
        assert len(part) < len(text)
    assert pairs.train.max() == pairs.vocab_size - 1 == 289
    assert pairs.train.dtype == pairs.validation.dtype == np.uint16
    assert pairs.bytes_per_token == len(VALIDATION) / len(pairs.validation)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_come_back_whether_they_are_utf8_or_not(pairs, text):
    tokens = encode(text, tokenizer=pairs.tokenizer)
    assert decode(tokens, tokenizer=pairs.tokenizer) == text


def test_the_first_tokens_are_the_bytes(pairs):
    for byte in range(256):
        assert decode([byte], tokenizer=pairs.tokenizer) == bytes([byte])
        assert encode(bytes([byte]), tokenizer=pairs.tokenizer).tolist() == [byte]


@given(st.text("def ad(\n\t 17é+_", max_size=60))
def test_pieces_give_the_tokens_that_the_package_gives_for_the_whole(pairs, text):
    from tokenizers import Tokenizer

    whole = Tokenizer.from_str(pairs.tokenizer).encode(text.encode().decode("latin-1"))
    assert encode(text.encode(), tokenizer=pairs.tokenizer).tolist() == whole.ids


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_token_numbers_are_as_wide_as_they_must_be(vocab_size, dtype):
    from tokenizers import Tokenizer, models

    vocab = {chr(byte): byte for byte in range(256)} | {
        f"t{index}": index for index in range(256, vocab_size)
    }
    tokens = encode(b"any", tokenizer=Tokenizer(models.BPE(vocab, [])).to_str())
    assert tokens.dtype == dtype
    assert tokens.tolist() == list(b"any")


def test_the_first_token_to_be_made_is_the_pair_that_is_there_most_often():
    text = b"abab abab cd\n" * 3
    made = with_byte_pairs(corpus_of(text, text), vocab_size=257)
    counts = Counter(pairwise(text))
    assert decode([256], tokenizer=made.tokenizer) == bytes(counts.most_common(1)[0][0]) == b"ab"


def test_the_same_text_gives_the_same_tokens_in_another_process_on_one_thread(pairs):
    assert with_byte_pairs(corpus_of(), vocab_size=290).sha256 == pairs.sha256
    code = (
        "import sys, numpy as np\n"
        "from scaling_transformers.training import Corpus, with_byte_pairs\n"
        "parts = [np.frombuffer(bytes.fromhex(part), dtype=np.uint8) for part in sys.stdin.read().split()]\n"
        "made = with_byte_pairs(Corpus(*parts, name='', sha256=''), vocab_size=290)\n"
        "print(made.sha256, made.tokenizer_sha256)\n"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    text = f"{TRAIN.hex()} {VALIDATION.hex()}"
    found = subprocess.run(
        [sys.executable, "-c", code], input=text, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [pairs.sha256, pairs.tokenizer_sha256]


def test_the_vocabulary_has_not_seen_what_is_held_out(pairs):
    other = with_byte_pairs(corpus_of(validation=b"zebra zebra zebra " * 500), vocab_size=290)
    assert other.tokenizer == pairs.tokenizer
    assert (
        with_byte_pairs(corpus_of(train=TRAIN + b"zebra " * 500), vocab_size=290).tokenizer != other.tokenizer
    )


def test_a_loss_per_byte_does_not_depend_on_how_the_text_is_cut(pairs):
    total = 1234.5  # nats for the whole of the held-out text
    per_byte = nats_per_byte(total / len(pairs.validation), bytes_per_token=pairs.bytes_per_token)
    assert per_byte == pytest.approx(total / len(VALIDATION))
    assert nats_per_byte([2.0, 4.0], bytes_per_token=2.0).tolist() == [1.0, 2.0]


def test_bad_input_is_named(pairs):
    with pytest.raises(ValueError, match="vocab_size must be above 256, the number of bytes; got 256"):
        with_byte_pairs(corpus_of(), vocab_size=256)
    with pytest.raises(ValueError, match="vocab_size must be a whole number"):
        with_byte_pairs(corpus_of(), vocab_size=300.0)
    with pytest.raises(ValueError, match="vocab_size must be at most 258 for 'a text'; got 400"):
        with_byte_pairs(corpus_of(train=b"abc\nab"), vocab_size=400)
    with pytest.raises(ValueError, match="corpus must hold two parts in bytes"):
        with_byte_pairs(pairs, vocab_size=300)
    with pytest.raises(ValueError, match="corpus must hold two parts in bytes"):
        with_byte_pairs(replace(corpus_of(), validation=np.zeros(0, np.uint8)), vocab_size=300)
    for bad in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="bytes_per_token must be at least 1 and finite; got"):
            nats_per_byte(1.0, bytes_per_token=bad)


def test_the_vocabulary_says_what_decoding_each_token_gives():
    part = np.frombuffer(b"to be or not to be, that is the question " * 8, dtype=np.uint8)
    corpus = with_byte_pairs(Corpus(part, part, "x", "y"), vocab_size=270)
    known = vocabulary(corpus.tokenizer)
    assert len(known) == 270
    assert list(known) == [decode([token], tokenizer=corpus.tokenizer) for token in range(270)]
