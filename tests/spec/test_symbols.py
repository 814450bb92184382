"""Symbols: one spelling, whatever the source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import InvalidRowError
from lake.spec import symbols


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("BTC/USDT", "BTCUSDT"), ("BTC-USDT", "BTCUSDT"), ("btc_usdt", "BTCUSDT"), ("btcusdt", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT.P"), ("BTC/USD:BTC", "BTCUSD.P"), ("BTC_USDT_USDT", "BTCUSDT.P"),
        ("BTC-USDT-SWAP", "BTCUSDT.P"), ("BTCUSD_PERP", "BTCUSD.P"), ("BTC-PERP", "BTCUSD.P"),
        ("btcusdt.p", "BTCUSDT.P"),
        ("BTC/USDT:USDT-240628", "BTCUSDT.240628"), ("BTCUSDT_240628", "BTCUSDT.240628"),
        ("BTC-USD-240628", "BTCUSD.240628"),
        ("BTC_USDT_USDT_240628", "BTCUSDT.240628"), ("BTCUSDT-28JUN24", "BTCUSDT.240628"),
        ("XRPUSDT.P.MARK", "XRPUSDT.P.MARK"), ("XRP/USDT.INDEX", "XRPUSDT.INDEX"), ("1000PEPE/USDT", "1000PEPEUSDT"),
        ("币安人生/USDT", "币安人生USDT"), (" ETH/BTC ", "ETHBTC"),
    ],
)  # fmt: skip
def test_common_spellings_become_canonical(given: str, wanted: str) -> None:
    assert symbols.canonical(given) == wanted


@pytest.mark.parametrize("given", ["FOO/BAR", "NOPAIR_XXX", "BRK.B", "a b", "BTC/USDT:USDT-240628-50000-C", ""])
def test_what_is_not_understood_is_kept_as_given(given: str) -> None:
    assert symbols.canonical(f" {given} ") == given


def test_a_symbol_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRowError, match=r"a symbol is a text \(got 5\)"):
        symbols.canonical(5)


@given(
    st.text(max_size=20)
    | st.from_regex(r"[A-Za-z0-9]{1,6}[/_.:-][A-Za-z0-9]{2,6}([:_.-][A-Z0-9]{1,6})?", fullmatch=True)
)
def test_canonical_is_its_own_canonical_form(text: str) -> None:
    once = symbols.canonical(text)
    assert symbols.canonical(once) == once


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT", "")), ("BNBUSD", ("BNB", "USD", "")), ("SHIBUSD", ("SHIB", "USD", "")),
        ("ETHBUSD", ("ETH", "BUSD", "")), ("USDTUSD", ("USDT", "USD", "")), ("BTCFDUSD", ("BTC", "FDUSD", "")),
        ("BTCUSDT.P.MARK", ("BTC", "USDT", "P.MARK")), ("AAPL", ("AAPL", "", "")), ("USDT", ("USDT", "", "")),
    ],
)  # fmt: skip
def test_a_symbol_splits_into_base_quote_and_suffix(symbol: str, parts: tuple[str, str, str]) -> None:
    assert symbols.split(symbol) == parts


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "ETHBTC", "BTCUSDT.P", "BTCUSD.P", "BTCUSDC.P", "BTCUSDT.240628", "BTCUSD.240628"]
)
def test_every_form_leads_back_to_the_same_symbol(symbol: str) -> None:
    perpetual = symbol.endswith(".P")
    assert symbols.canonical(symbols.to_ccxt(symbol)) == symbol
    assert symbols.canonical(symbols.to_freqtrade(symbol)) == symbol
    assert symbols.canonical(symbols.to_dash(symbol)) == symbol
    assert symbols.from_binance(symbols.to_binance(symbol), perpetual=perpetual) == symbol
    assert symbols.from_bybit(symbols.to_bybit(symbol), category="linear" if perpetual else "spot") == symbol


@pytest.mark.parametrize(
    "convert", [symbols.to_ccxt, symbols.to_freqtrade, symbols.to_binance, symbols.to_bybit, symbols.to_dash]
)
def test_a_symbol_of_unknown_quote_is_given_out_as_it_is(convert: object) -> None:
    assert convert("AAPL") == "AAPL"  # type: ignore[operator]
