"""Results of marketing-attribution-models (MAM), the oracle of attribution rules."""

from __future__ import annotations

import pandas as pd

#: marketing-attribution-models 2.1.1 (module ``mam``, Python 3.11, polars 2.1.0, numpy 2.4.6) on
#: ``MAM(df, format_type="grouped_journey", channels_colname="journey",
#: journey_with_conv_colname="conversion", occurrences_colname="occurrences")``: run_first_click,
#: run_last_click, run_linear, run_position_based, run_markov and run_shapley(max_size=None), and
#: ``run_markov().metadata["removal_effect"]``, to 12 digits.
#: Paths: "readme" is the example of its README on grouped journeys with revenue; "workflow" the
#: sessions of its tests/test_e2e.py and "sessions" those of its data/test_dataset.csv
#: (github.com/DP6/Marketing-Attribution-Models), cut at conversions; "seeded" was drawn once.
#: Each line: path | conversions | nulls.
MAM_PATHS = {
    "readme": """
        Direct > Google_Search > Meta_Ads | 120 | 300
        Email > Organic_Search | 80 | 0
    """,
    "workflow": """
        Direct > Google_Search | 1 | 0
        Meta_Ads > Email > Direct | 1 | 0
        Direct > Meta_Ads | 0 | 1
        Organic_Search | 1 | 0
    """,
    "sessions": """
        seo > direct > google_ads > direct | 1 | 0
        seo > direct | 0 | 1
        direct > crm > direct | 1 | 0
        seo > direct > direct | 1 | 0
        direct > direct > seo > direct | 1 | 0
    """,
    "seeded": """
        chat | 5 | 24
        chat > email | 62 | 231
        email | 13 | 46
        email > email | 64 | 309
        email > email > sms > social | 24 | 97
        email > page > email | 0 | 52
        email > page > page > sms > sms > page > social | 0 | 376
        email > page > sms > page > social > sms | 43 | 169
        email > social | 78 | 313
        page | 56 | 200
        page > chat > chat | 0 | 60
        page > email > email > sms | 101 | 372
        page > page > email | 74 | 303
        page > page > sms | 0 | 233
        page > sms > parcel > chat | 0 | 131
        parcel > email | 3 | 14
        parcel > email > page > page > page | 26 | 114
        sms | 0 | 241
        sms > email | 69 | 332
        sms > page | 64 | 288
        sms > page > email > sms > sms | 73 | 313
        sms > page > sms > email > email > parcel | 65 | 335
        sms > social | 23 | 102
        social > chat > page | 81 | 298
        social > email | 62 | 242
        social > email > page > page | 0 | 359
        social > email > social | 22 | 123
        social > page > parcel | 18 | 66
        social > parcel > parcel > page > email | 23 | 119
        social > sms > email | 0 | 394
    """,
}
MAM_RESULTS: dict[str, dict[str, dict[str, float]]] = {
    "readme": {
        "first": {"Direct": 120.0, "Email": 80.0},
        "last": {"Meta_Ads": 120.0, "Organic_Search": 80.0},
        "linear": {
            "Direct": 40.0,
            "Email": 40.0,
            "Google_Search": 40.0,
            "Meta_Ads": 40.0,
            "Organic_Search": 40.0,
        },
        "position": {
            "Direct": 48.0,
            "Email": 40.0,
            "Google_Search": 24.0,
            "Meta_Ads": 48.0,
            "Organic_Search": 40.0,
        },
        "markov per path": {
            "Direct": 40.0,
            "Email": 40.0,
            "Google_Search": 40.0,
            "Meta_Ads": 40.0,
            "Organic_Search": 40.0,
        },
        "shapley rate": {
            "Direct": 40.0,
            "Email": 40.0,
            "Google_Search": 40.0,
            "Meta_Ads": 40.0,
            "Organic_Search": 40.0,
        },
        "removal effect": {
            "Direct": 0.6,
            "Email": 0.4,
            "Google_Search": 0.6,
            "Meta_Ads": 0.6,
            "Organic_Search": 0.4,
        },
    },
    "workflow": {
        "first": {"Direct": 1.0, "Meta_Ads": 1.0, "Organic_Search": 1.0},
        "last": {"Direct": 1.0, "Google_Search": 1.0, "Meta_Ads": 0.0, "Organic_Search": 1.0},
        "linear": {
            "Direct": 0.833333333333,
            "Email": 0.333333333333,
            "Google_Search": 0.5,
            "Meta_Ads": 0.333333333333,
            "Organic_Search": 1.0,
        },
        "position": {
            "Direct": 0.9,
            "Email": 0.2,
            "Google_Search": 0.5,
            "Meta_Ads": 0.4,
            "Organic_Search": 1.0,
        },
        "markov per path": {
            "Direct": 1.26666666667,
            "Email": 0.2,
            "Google_Search": 0.333333333333,
            "Meta_Ads": 0.2,
            "Organic_Search": 1.0,
        },
        "shapley rate": {
            "Direct": 0.833333333333,
            "Email": 0.333333333333,
            "Google_Search": 0.5,
            "Meta_Ads": 0.333333333333,
            "Organic_Search": 1.0,
        },
        "removal effect": {
            "Direct": 0.666666666667,
            "Email": 0.222222222222,
            "Google_Search": 0.333333333333,
            "Meta_Ads": 0.222222222222,
            "Organic_Search": 0.333333333333,
        },
    },
    "sessions": {
        "first": {"direct": 2.0, "seo": 2.0},
        "last": {"direct": 4.0},
        "linear": {
            "crm": 0.333333333333,
            "direct": 2.58333333333,
            "google_ads": 0.25,
            "seo": 0.833333333333,
        },
        "position": {"crm": 0.2, "direct": 2.8, "google_ads": 0.1, "seo": 0.9},
        "markov per path": {
            "crm": 0.0769230769231,
            "direct": 3.1971410942,
            "google_ads": 0.0588235294118,
            "seo": 0.667112299465,
        },
        "shapley rate": {
            "crm": 0.5,
            "direct": 1.94444444444,
            "google_ads": 0.111111111111,
            "seo": 1.44444444444,
        },
        "removal effect": {
            "crm": 0.166666666667,
            "direct": 1.0,
            "google_ads": 0.166666666667,
            "seo": 0.666666666667,
        },
    },
    "seeded": {
        "first": {
            "chat": 67.0,
            "email": 222.0,
            "page": 231.0,
            "parcel": 29.0,
            "sms": 294.0,
            "social": 206.0,
        },
        "last": {
            "chat": 5.0,
            "email": 370.0,
            "page": 227.0,
            "parcel": 83.0,
            "sms": 217.0,
            "social": 147.0,
        },
        "linear": {
            "chat": 63.0,
            "email": 361.733333333,
            "page": 255.55,
            "parcel": 32.7333333333,
            "sms": 189.05,
            "social": 146.933333333,
        },
        "position": {
            "chat": 52.2,
            "email": 319.7,
            "page": 236.616666667,
            "parcel": 48.1666666667,
            "sms": 232.666666667,
            "social": 159.65,
        },
        "markov per path": {
            "chat": 21.58323757,
            "email": 426.337078518,
            "page": 275.993126396,
            "parcel": 10.7449214311,
            "sms": 186.951277193,
            "social": 127.390358891,
        },
        "shapley rate": {
            "chat": 70.1102530332,
            "email": 634.693892934,
            "page": 431.13308344,
            "parcel": -18.3540545028,
            "sms": -42.1343101495,
            "social": -26.4488647551,
        },
        "removal effect": {
            "chat": 0.0958743462541,
            "email": 0.589498434065,
            "page": 0.516155226474,
            "parcel": 0.129943116841,
            "sms": 0.51125923336,
            "social": 0.369708451017,
        },
    },
}


def mam_paths(name: str) -> pd.DataFrame:
    """Return the paths of an example as path, conversions and nulls."""
    lines = [line.split(" | ") for line in MAM_PATHS[name].strip().splitlines()]
    return pd.DataFrame(
        [(path.strip(), int(won), int(lost)) for path, won, lost in lines],
        columns=["path", "conversions", "nulls"],
    )
