"""The vectors that the gallery's first page carries: src/thalweg/words/gallery/vectors.{en,zh}.json

Question: none; this makes data. From the corpora en and zh of THALWEG_DATA (Wikipedia, CC BY-SA; never zh_extra, which has no
licence), default settings, 900 words each: those of the analogy questions and of the examples, then the most frequent ones
without the half with the shortest vectors. For each word (u + k)/2 in 8 bits with one scale per word, and its profile (the factor
whose cosine is the correlation of mutual information with the 1,000 most frequent words), its 80 leading numbers in 8 bits;
under 300 KB.
Command: THALWEG_DATA=... python bench/words/gallery_vectors.py      (about 10 minutes on two cores)
"""

import base64
import json
import os
import sys
from pathlib import Path

import numpy as np

from thalweg import words
from thalweg.words.questions import EN, ZH

N_WORDS = 900
CONTEXTS = 1000
PROFILE = 80
FITS = Path(__file__).parent.parent / "results" / "gallery"
TARGET = Path(words.__file__).parent / "gallery"
EXAMPLES = {
    "en": ["paris", "king", "river", "music", "cell", "train", "gold", "war", "chess"],
    "zh": ["机场", "火车", "国王", "音乐", "北京", "大学", "河流", "足球", "电影"],
}
QUESTIONS = {"en": EN, "zh": ZH}


def chosen(wv: words.WordVectors, language: str) -> list[str]:
    asked = [w for question in QUESTIONS[language] for w in question] + EXAMPLES[language]
    least = 2 if language == "zh" else 3
    frequent = [w for w in wv.words[:6000] if len(w) >= least and w.isalpha()]
    norms = {w: float(np.linalg.norm(wv[w])) for w in frequent}
    shortest = np.quantile(list(norms.values()), 1 / 2)
    telling = [w for w in frequent if norms[w] > shortest]
    return list(dict.fromkeys([w for w in asked if w in wv] + telling))[:N_WORDS]


def eight_bits(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and one scale per row: row = code times scale."""
    scales = np.abs(vectors).max(axis=1) / 127
    return np.round(vectors / scales[:, None]).astype(np.int8), scales


def main() -> None:
    if "THALWEG_DATA" not in os.environ:
        sys.exit("set THALWEG_DATA to the folder that holds corpora/en.txt.bz2 and corpora/zh.txt.bz2")
    for language in ("en", "zh"):
        saved = FITS / language
        if not saved.exists():  # a second run need not fit again
            words.fit(Path(os.environ["THALWEG_DATA"]) / "corpora" / f"{language}.txt.bz2").save(saved)
        wv = words.WordVectors.load(saved)
        selected = sorted(chosen(wv, language), key=wv.index.__getitem__)
        places = [wv.index[w] for w in selected]
        codes, scales = eight_bits(wv.vectors()[places] / 2)
        profiles, _ = eight_bits(wv.profiles(CONTEXTS)[places][:, :PROFILE])
        value = {
            "licence": "CC BY-SA 4.0; computed from Wikipedia text by its contributors (CC BY-SA)",
            "tokens": wv.info["tokens_read"],
            "contexts": CONTEXTS,
            "first": EXAMPLES[language][0],
            "examples": EXAMPLES[language],
            "words": selected,
            "scales": [float(f"{scale:.5g}") for scale in scales],
            "vectors": base64.b64encode(codes.tobytes()).decode(),
            "profiles": base64.b64encode(profiles.tobytes()).decode(),
        }
        target = TARGET / f"vectors.{language}.json"
        target.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"{target}: {len(selected)} words, {target.stat().st_size / 1e3:.0f} KB")


if __name__ == "__main__":
    main()
