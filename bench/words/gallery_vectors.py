"""The vectors that the gallery's first page carries: src/thalweg/words/gallery/vectors.{en,zh}.json

Question: none; this makes data. From the corpora en and zh of THALWEG_DATA (Wikipedia, CC BY-SA; never zh_extra, which has no
licence), default settings, 800 words each: the 40 most frequent ones, those of the analogy questions and of the examples, every
60th of the 6,000 most frequent, then the most frequent ones whose vectors are longer than those of half the words around them.
For each word (u + k)/2 in 8 bits with one scale per word, -ln P, and for 100, 1,000 and 10,000 contexts its profile (the factor
whose cosine is the correlation of mutual information with so many most frequent words), its 40 or 56 leading numbers in 8 bits;
under 340 KB. What is cut off a profile changes a correlation by 0.02, 0.04 and 0.06 (root mean square).
Command: THALWEG_DATA=... python bench/words/gallery_vectors.py      (about 5 minutes on two cores)
"""

import base64
import json
import os
import sys
from pathlib import Path

import numpy as np

from thalweg import words
from thalweg.words.judging.questions import EN, ZH

N_WORDS = 800
STOPS = 40  # of the most frequent words
SPREAD = 60  # one of so many frequent words is taken however short its vector
PROFILES = {100: 40, 1000: 56, 10_000: 56}  # contexts -> leading numbers of the profile
FITS = Path(__file__).parent.parent / "results" / "gallery"
TARGET = Path(words.__file__).parent / "gallery"
EXAMPLES = {
    "en": ["paris", "king", "river", "music", "cell", "train", "gold", "war", "chess", "walked"],
    "zh": ["机场", "火车", "国王", "音乐", "北京", "大学", "河流", "足球", "电影", "看到"],
}
PAIRS = {  # for the common vector: two that are close, two that have little to do with each other
    "en": [("paris", "france"), ("king", "queen"), ("music", "war"), ("train", "cell")],
    "zh": [("北京", "上海"), ("国王", "王后"), ("音乐", "战争"), ("火车", "河流")],
}
QUESTIONS = {"en": EN, "zh": ZH}


def chosen(wv: words.WordVectors, language: str) -> list[str]:
    pairs = [w for pair in PAIRS[language] for w in pair]
    asked = wv.words[:STOPS] + [w for question in QUESTIONS[language] for w in question] + EXAMPLES[language] + pairs
    asked += [w for w in wv.words[STOPS:6000:SPREAD] if w.isalpha()]
    least = 2 if language == "zh" else 3
    frequent = [w for w in wv.words[:6000] if len(w) >= least and w.isalpha()]
    norms = np.array([np.linalg.norm(wv[w]) for w in frequent])
    around = [np.median(norms[max(0, k - 50) : k + 50]) for k in range(len(frequent))]
    telling = [w for w, norm, usual in zip(frequent, norms, around, strict=True) if norm > usual]
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
        wv = words.WordVectors.load(saved).with_subwords(0)  # the page shows inner products
        selected = sorted(chosen(wv, language), key=wv.index.__getitem__)
        places = [wv.index[w] for w in selected]
        codes, scales = eight_bits(wv.vectors()[places] / 2)
        profiles = {n: eight_bits(wv.profiles(n)[places][:, :width])[0] for n, width in PROFILES.items()}
        importance = wv.importance(selected)
        rarity = {row.word: row.rarity for row in importance.rows}
        value = {
            "licence": "CC BY-SA 4.0; computed from Wikipedia text by its contributors (CC BY-SA)",
            "tokens": wv.info["tokens_read"],
            "vocabulary": len(wv),
            "spearman": round(importance.spearman, 3),
            "first": EXAMPLES[language][0],
            "examples": EXAMPLES[language],
            "pairs": PAIRS[language],
            "words": selected,
            "rarities": [round(rarity[w], 4) for w in selected],
            "scales": [float(f"{scale:.5g}") for scale in scales],
            "vectors": base64.b64encode(codes.tobytes()).decode(),
            "profiles": {str(n): base64.b64encode(each.tobytes()).decode() for n, each in profiles.items()},
        }
        target = TARGET / f"vectors.{language}.json"
        target.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"{target}: {len(selected)} words, {target.stat().st_size / 1e3:.0f} KB")


if __name__ == "__main__":
    main()
