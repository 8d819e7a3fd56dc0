"""The models, loaded once for all visits of the running program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pipeline.settings import get_settings

if TYPE_CHECKING:
    from pipeline.analysis import CryPipeline
    from pipeline.reasons import ReasonModel


@st.cache_resource(show_spinner=False, max_entries=3)
def cry_pipeline(embedder: str) -> CryPipeline:
    """Both stages with that embedder: "auto", "yamnet" or "student". A failure is not kept: a retry may work.

    Raises:
        CryError: the embedder or a trained model cannot be had; says what to do.
    """
    from pipeline.analysis import CryPipeline

    return CryPipeline.load(embedder=embedder, settings=get_settings())


@st.cache_data(show_spinner=False)
def wait(embedder: str) -> str:
    """What to tell a person who waits for :func:`cry_pipeline`; found out once for all visits."""
    from pipeline.embedding import first_wait

    return first_wait(embedder, get_settings()) or "Getting ready to listen (a few seconds, once) ..."


@st.cache_resource(show_spinner=False)
def reason_model() -> ReasonModel:
    """The second stage alone; never imports TensorFlow.

    Raises:
        CryError: the trained model cannot be used; says what to do.
    """
    from pipeline.reasons import ReasonModel

    return ReasonModel.load(None, get_settings())
